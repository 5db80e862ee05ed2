"""What indexes on servers do where somebody else writes into them, or deletes them and makes others of their names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from projections.backends.server_calls import LOOK_EVERY_S, Looks
from projections.consistency.report import IndexReport
from projections.consistency.verify import verify
from projections.index.backend import IndexForeign
from schemas.ids import chunk_id_of, chunk_ids_of, document_id_of
from tests.servers.index import Server, index_server
from tests.servers.index_backends import INDEX_OF, SERVED_BACKENDS
from tests.worlds.index import HashedWords, Index, World, projection_of, texts_of
from tests.worlds.index_chunks import chunk_of, chunks_of, find_like, ids_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"


@pytest.fixture(params=SERVED_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(name: str, tmp_path: Path) -> Iterator[Server]:
    with index_server(name, tmp_path) as server:
        yield server


@pytest.fixture
def world() -> World:
    world = World()
    world.complete(REPORT, texts_of(REPORT, 1, 6))
    return world


@pytest.fixture
def index(world: World, name: str, server: Server, tmp_path: Path) -> Iterator[Index]:
    projection = projection_of(INDEX_OF[name])
    index = Index(world, tmp_path, projection, lambda _: server.store())
    index.view.open()
    index.catch_up()
    yield index
    index.close()


def check(index: Index, *, deep: bool = False) -> IndexReport:
    views, world = [index.view], index.world
    report = verify(views, world.log, artifacts=world.artifacts, scratch=index.directory.parent, deep=deep)
    return report.indexes[index.view.name]


def troubles(report: IndexReport) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if count and name != "expected"}


def looks_of(backend: Any) -> Looks:
    looks: Looks = backend._there._looks
    return looks


def backend_of(index: Index) -> Any:
    with index.view.searching() as opened:
        return opened.backend


@pytest.mark.parametrize("deep", [False, True])
def test_what_a_stranger_puts_into_an_index_is_told_and_never_found(
    index: Index,
    server: Server,
    deep: bool,  # noqa: FBT001 - a case
) -> None:
    like = texts_of(REPORT, 1, 1)[0]
    put = server.put(f"{server.alias}-g1", like)

    report = check(index, deep=deep)

    assert troubles(report) == {"foreign": put}
    assert not report.is_consistent
    assert {one.problem for one in report.examples} == {"foreign"}
    assert len({one.chunk_id for one in report.examples}) == put
    assert report.damaged == set()
    assert index.find(like, limit=20) == [document_id_of(REPORT)] * 6
    assert sum(entry.is_foreign for entry in index.view.scan()) == put


def test_a_stranger_in_the_index_hinders_neither_repair_nor_garbage(index: Index, server: Server) -> None:
    put = server.put(f"{server.alias}-g1", "heron")
    index.world.ask_repair(index.view.name, [REPORT])
    index.world.complete(REPORT, texts_of(REPORT, 2, 3))

    index.catch_up()

    assert index.collect_all() == 6
    assert troubles(check(index)) == {"foreign": put}
    assert index.served_chunks(REPORT) == 3


def test_a_chunk_that_says_no_more_what_it_is_of_is_corrupt(index: Index, server: Server) -> None:
    server.strip(f"{server.alias}-g1", chunk_id_of(document_id_of(REPORT), 1, 2))

    assert troubles(check(index, deep=True)) == {"corrupt": 1}
    assert index.find(texts_of(REPORT, 1, 3)[2], limit=20) == [document_id_of(REPORT)] * 5


@pytest.mark.parametrize("dim", [HashedWords.dim, HashedWords.dim + 1], ids=["same", "other-dimension"])
def test_an_index_that_is_deleted_and_made_again_behind_its_writer_is_noticed_before_anything_is_written(
    world: World, index: Index, server: Server, dim: int
) -> None:
    server.remake(f"{server.alias}-g1", dim=dim)
    world.complete(LETTER, texts_of(LETTER, 1, 20))

    with pytest.raises(IndexForeign) as raised:
        index.catch_up()

    assert raised.value.hint == f"refold rebuild {index.view.name}"
    assert server.count(f"{server.alias}-g1") == 0
    assert index.view.parked() == {}
    assert index.served_version(LETTER) is None


def test_garbage_is_not_deleted_from_an_index_that_was_made_again(world: World, index: Index, server: Server) -> None:
    world.complete(REPORT, texts_of(REPORT, 2, 1))
    index.catch_up()
    server.remake(f"{server.alias}-g1", dim=HashedWords.dim)

    with pytest.raises(IndexForeign):
        index.collect_all()

    with index.view.paused() as opened:
        assert opened.books.counts().garbage == 6


def test_what_a_remade_index_refuses_is_no_fault_of_its_documents(index: Index, server: Server) -> None:
    """It was made again after the turn of writing had begun."""
    backend = backend_of(index)
    server.remake(f"{server.alias}-g1", dim=HashedWords.dim + 1)
    chunks = chunks_of(LETTER, 3)
    if index.view.name == "keyword":
        chunks[1] = replace(chunks[1], version=2**70)  # beyond any number that the server takes

    with pytest.raises(IndexForeign):
        backend.upsert(chunks)


def test_a_reader_that_stays_notices_too(index: Index, server: Server, name: str) -> None:
    backend = backend_of(index)
    anything = chunk_of(REPORT, text="paragraph")
    assert len(find_like(backend, name, anything, limit=20)) == 6
    server.remake(f"{server.alias}-g1", dim=HashedWords.dim)

    looks_of(backend).expire()  # as it does once a second

    with pytest.raises(IndexForeign):
        find_like(backend, name, anything, limit=20)


def test_who_reads_looks_once_in_a_while_and_after_each_failure() -> None:
    now_s = 0.0
    looks = Looks(monotonic=lambda: now_s)
    assert looks.is_due
    looks.note()
    assert not looks.is_due
    now_s = LOOK_EVERY_S
    assert looks.is_due
    looks.note()
    looks.expire()
    assert looks.is_due


def test_chunks_come_and_go_beside_searches_that_find_what_stays(index: Index, name: str) -> None:
    """Whatever is deleted meanwhile: what is there all the time is in every answer."""
    backend, stop, failures = backend_of(index), threading.Event(), list[str]()
    steady = set(chunk_ids_of(document_id_of(REPORT), 1, 6))
    anything = chunk_of(REPORT, text="paragraph chunk")

    def search() -> None:
        while not stop.is_set():
            found = {hit.chunk_id for hit in find_like(backend, name, anything, limit=10_000)}
            if not steady <= found:
                failures.append(f"{len(steady - found)} missing of an answer of {len(found)}")

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in range(12):
        some = chunks_of(LETTER, 60, version=version + 1)
        backend.upsert(some)
        backend.flush()
        backend.delete(ids_of(some))
        backend.flush()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
