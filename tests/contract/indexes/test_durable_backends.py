"""What index backends that keep their contents on disk promise, and what those say that do not."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from projections.backends.folder import DATA, MARK, mapped_driver_errors
from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.index.backend import IndexBackend, IndexForeign
from schemas.errors import DataFolderDamaged, DiskFull, MachineError
from tests.servers.index_backends import (
    DURABLE_BACKENDS,
    FORGETFUL_BACKENDS,
    INDEX_OF,
    open_backend_of,
)
from tests.worlds.index_chunks import chunk_of, chunks_of, contents_of, digests_of, find, ids_of

REPORT = "folder:docs/report.md"
CHUNKS = 300
"""Chunks of a version: enough that some rounds have something to vacuum."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.servers.index_backends", "tests.worlds.index_chunks"]
)  # so that a child starts in milliseconds


@pytest.fixture(params=DURABLE_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def create(name: str, folder: Path, generation: str = "g1") -> IndexBackend:
    return open_backend_of(name)(folder, generation, create=True)


def reopen(name: str, folder: Path, generation: str = "g1") -> IndexBackend:
    return open_backend_of(name)(folder, generation, create=False)


def write_and_close(name: str, folder: Path) -> None:
    backend = create(name, folder)
    backend.upsert(chunks_of(REPORT, 3))
    backend.close()


def test_what_was_written_is_there_after_close_and_reopen(name: str, tmp_path: Path) -> None:
    backend = create(name, tmp_path)
    written = chunks_of(REPORT, 5)
    backend.upsert(written)
    backend.flush()
    backend.delete(ids_of(written[:1]))
    backend.close()  # flushes

    backend = reopen(name, tmp_path)

    assert contents_of(backend, name) == digests_of(written[1:], name)
    assert {hit.chunk_id for hit in find(backend, name)} == set(ids_of(written[1:]))
    backend.upsert(written[:1])
    backend.close()
    backend = reopen(name, tmp_path)
    assert contents_of(backend, name) == digests_of(written, name)
    backend.close()


def go_on_writing(name: str, folder: Path, first: int, said: Connection) -> None:
    """From version `first` on, write one, delete the last but one and flush; tell when that is done."""
    backend = reopen(name, folder)
    version = first
    while True:
        backend.upsert(chunks_of(REPORT, CHUNKS, version=version))
        backend.delete(ids_of(chunks_of(REPORT, CHUNKS, version=version - 2)))
        backend.flush()
        said.send(version)
        backend.vacuum()
        version += 1


def kill_while_writing(name: str, folder: Path, *, first: int, after: int) -> int:
    """The last version that a process told of, which is killed once it has told of `after` of them."""
    hears, says = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=go_on_writing, args=(name, folder, first, says))
    child.start()
    says.close()
    version = [hears.recv() for _ in range(after)][-1]
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    try:
        while True:
            version = hears.recv()
    except EOFError:
        return int(version)


def test_a_killed_process_leaves_what_it_had_flushed(name: str, tmp_path: Path) -> None:
    create(name, tmp_path).close()
    version = 0

    for after in (1, 3, 6):
        version = kill_while_writing(name, tmp_path, first=version + 1, after=after)

        backend = reopen(name, tmp_path)
        there = contents_of(backend, name)
        flushed = digests_of(chunks_of(REPORT, CHUNKS, version=version), name)
        around = [one for near in (-1, 0, 1) for one in chunks_of(REPORT, CHUNKS, version=max(version + near, 0))]
        assert flushed.items() <= there.items()
        assert there.items() <= digests_of(around, name).items()
        backend.close()

    backend = reopen(name, tmp_path)
    backend.delete(list(contents_of(backend, name)))
    last = chunks_of(REPORT, 10, version=version)
    backend.upsert(last)
    backend.flush()
    assert contents_of(backend, name) == digests_of(last, name)
    assert {hit.chunk_id for hit in find(backend, name)} == set(ids_of(last))
    backend.close()


def test_size_is_what_the_files_take_on_disk(name: str, tmp_path: Path) -> None:
    backend = create(name, tmp_path)
    empty = backend.size_bytes()
    vector = chunk_of(REPORT).vector
    backend.upsert([chunk_of(REPORT, number, text=f"chunk w{number}", vector=vector) for number in range(4_000)])
    backend.flush()

    # At least an id and a digest each; at most some pages over what was written, holes of mapped files left out.
    assert 4_000 * 50 < backend.size_bytes() - empty < 4_000 * 2_000
    backend.close()


def _without_mark(folder: Path) -> None:
    (folder / MARK).unlink()


def _wiped(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def _with_torn_mark(folder: Path) -> None:
    (folder / MARK).write_text('{"index": "vec')


def _of_another_layout(folder: Path) -> None:
    mark = json.loads((folder / MARK).read_text())
    (folder / MARK).write_text(json.dumps({**mark, "layout": "0"}))


@pytest.mark.parametrize("spoil", [_without_mark, _wiped, _with_torn_mark, _of_another_layout])
def test_a_wiped_or_foreign_folder_is_noticed_at_open(name: str, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    write_and_close(name, tmp_path / "g1")
    spoil(tmp_path / "g1")

    with pytest.raises(IndexForeign) as raised:
        reopen(name, tmp_path / "g1")

    assert raised.value.hint == f"refold rebuild {INDEX_OF[name]}"


def test_another_generation_is_foreign(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)

    with pytest.raises(IndexForeign):
        reopen(name, tmp_path, generation="g2")


def test_an_index_of_another_kind_is_foreign(name: str, tmp_path: Path) -> None:
    write_and_close(next(other for other in DURABLE_BACKENDS if other != name), tmp_path)

    with pytest.raises(IndexForeign):
        reopen(name, tmp_path)


def test_vectors_of_another_length_are_foreign(tmp_path: Path) -> None:
    write_and_close("qdrant_edge", tmp_path)

    with pytest.raises(IndexForeign):
        QdrantEdgeVectorBackend(tmp_path, "g1", create=False, dim=7)


def _without_data(folder: Path) -> None:
    _wiped(folder / DATA)


def _with_torn_files(folder: Path) -> None:
    for path in (folder / DATA).rglob("*"):
        if path.is_file():
            path.write_text("{")


@pytest.mark.parametrize("spoil", [_without_data, _with_torn_files])
def test_an_index_that_does_not_open_is_damaged_or_foreign(
    name: str, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    write_and_close(name, tmp_path)
    spoil(tmp_path)

    with pytest.raises((DataFolderDamaged, IndexForeign)) as raised:
        reopen(name, tmp_path)

    assert raised.value.hint == f"refold rebuild {INDEX_OF[name]}"


def test_creating_empties_a_folder_of_the_index_before(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)

    backend = create(name, tmp_path, generation="g2")

    assert contents_of(backend, name) == {}
    backend.close()
    reopen(name, tmp_path, generation="g2").close()


@pytest.mark.parametrize("name", FORGETFUL_BACKENDS)
def test_an_index_in_memory_is_gone_with_its_process_and_says_so(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)

    with pytest.raises(IndexForeign):
        reopen(name, tmp_path)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Service runtime error: IO error: No space left on device (os error 28)", DiskFull),
        ("An IO error occurred: 'Disk quota exceeded (os error 122)'", DiskFull),
        ("Vector dimension error: expected dim: 8, got 9", MachineError),
    ],
)
def test_what_a_driver_says_becomes_an_error_with_a_hint(
    said: str, expected: type[MachineError], tmp_path: Path
) -> None:
    with pytest.raises(MachineError) as raised, mapped_driver_errors("upsert", "vector", tmp_path):
        raise ValueError(said)

    assert type(raised.value) is expected
    assert raised.value.hint
    assert said in str(raised.value)


def test_what_a_driver_says_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as raised, mapped_driver_errors("upsert", "vector", tmp_path):
        raise RuntimeError("Service runtime error:\n  segment 3\n  is not whole")

    assert str(raised.value) == "the vector index: Service runtime error: segment 3 is not whole"
