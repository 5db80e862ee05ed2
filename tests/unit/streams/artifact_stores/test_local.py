from __future__ import annotations

import errno
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from schemas.errors import (
    DataFolderDamaged,
    DataFolderLocked,
    DataFolderVersion,
    DiskFull,
    MachineError,
    RefoldError,
    UsageError,
)
from schemas.events import ArtifactRef
from streams import sqlite_file
from streams.artifact_stores import blob_files, local
from streams.artifact_stores.local import PACKED_LIMIT_BYTES, LocalArtifacts
from streams.artifacts import ArtifactDamaged, ArtifactMissing, ref_of

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SMALL = random.Random(1).randbytes(20_000)
LARGE = random.Random(2).randbytes(PACKED_LIMIT_BYTES + 1)

CHILD = """
import json, os, random, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from schemas.events import ArtifactRef
from streams.artifact_stores.local import PACKED_LIMIT_BYTES, LocalArtifacts
def opened(**how):
    return LocalArtifacts(Path(sys.argv[1]), clock=lambda: datetime.now(UTC), **how)
"""

Open = Callable[..., LocalArtifacts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def open_store(folder: Path) -> Iterator[Open]:
    opened: list[LocalArtifacts] = []

    def open_again(*, now: datetime = NOON, read_only: bool = False) -> LocalArtifacts:
        opened.append(LocalArtifacts(folder, clock=lambda: now, read_only=read_only))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def place_of(folder: Path, ref: ArtifactRef) -> Path:
    return folder / "files" / ref.sha256[:2] / ref.sha256[2:]


def bytes_by_hash(*blobs: bytes) -> Mapping[str, bytes]:
    return {ref_of(blob).sha256: blob for blob in blobs}


def flip_byte(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def touched_at(folder: Path) -> dict[str, datetime]:
    with closing(sqlite3.connect(folder / "packed.sqlite")) as connection:
        rows = connection.execute("SELECT sha256, touched_at_us FROM blobs").fetchall()
    return {key.hex(): datetime.fromtimestamp(at_us / 1e6, UTC) for key, at_us in rows}


def run_child(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD + program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_small_blobs_are_packed_and_large_ones_are_files(open_store: Open, folder: Path) -> None:
    store = open_store()
    *_, large = store.put([SMALL, LARGE[:-1], LARGE])
    assert files_in(folder / "files") == []
    store.sync()
    assert files_in(folder / "files") == [place_of(folder, large)]
    assert files_in(folder / "incoming") == []


def test_only_what_was_synced_is_there_after_opening_again(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([SMALL, LARGE])
    store.sync()
    lost = store.put([b"small and unsynced", LARGE + b"unsynced"])
    store.close()
    again = open_store()
    assert again.get_many(refs) == bytes_by_hash(SMALL, LARGE)
    assert set(again.scan()) == set(refs)
    assert again.touch(lost) == [False, False]
    assert files_in(folder / "incoming") == []


def test_the_last_touch_and_the_last_put_are_remembered_by_the_clock(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([b"touched", b"put again", b"left alone", LARGE])
    store.sync()
    store.close()
    later = open_store(now=NOON + timedelta(hours=1))
    later.touch(refs[:1])
    later.put([b"put again", LARGE])
    later.sync()
    assert [(touched_at(folder)[ref.sha256] - NOON) / timedelta(hours=1) for ref in refs] == [1, 1, 0, 1]


def test_another_process_reads_what_is_synced_and_only_that(open_store: Open, folder: Path) -> None:
    store, reader = open_store(), open_store(read_only=True)
    refs = store.put([SMALL, LARGE])
    assert list(reader.scan()) == []
    store.sync()
    store.put([b"not yet"])
    program = "store = opened(read_only=True); print(sorted(ref.sha256 for ref in store.scan() if store.get(ref)))"
    answer = run_child(folder, program)
    assert answer.stdout.strip() == str(sorted(ref.sha256 for ref in refs)), answer.stderr
    assert reader.get_many(refs) == bytes_by_hash(SMALL, LARGE)


def test_a_store_opened_to_read_refuses_to_write_and_makes_nothing(open_store: Open, folder: Path) -> None:
    with pytest.raises(MachineError, match="no artifact store at") as caught:
        open_store(read_only=True)
    assert caught.value.hint
    assert not folder.exists()
    refs = open_store().put([SMALL])
    reader = open_store(read_only=True)
    for write in (reader.put, lambda _: reader.put_file(folder / "packed.sqlite"), reader.touch, reader.delete):
        with pytest.raises(UsageError, match="read only"):
            write(refs)  # type: ignore[operator]
    reader.sync()


def test_a_folder_that_may_not_be_written_is_read_as_it_lies_there() -> None:
    program = (
        "from schemas.errors import MachineError\n"
        "os.geteuid() or os.setuid(65534)\n"  # root may write anywhere, nobody may not
        "try: opened()\n"
        "except MachineError as exc: print(bool(exc.hint), end=' ')\n"
        "store = opened(read_only=True); print(len(store.get_many(list(store.scan()))))"
    )
    with TemporaryDirectory() as place:  # pytest's own folders are closed to other users
        Path(place).chmod(0o755)
        folder = Path(place, "artifacts")
        with closing(LocalArtifacts(folder, clock=lambda: NOON)) as store:
            store.put([SMALL, LARGE])
            store.sync()
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555)
        answer = run_child(folder, program)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
    assert answer.stdout == "True 2\n", answer.stderr


def test_a_closed_store_says_so(open_store: Open) -> None:
    store = open_store()
    refs = store.put([SMALL])
    store.close()
    for use in (store.get_many, store.touch, store.put):
        with pytest.raises(UsageError, match="closed"):
            use(refs)


# What is read while a sync is under way


def test_a_put_is_readable_at_every_moment_of_its_sync(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    refs = store.put([SMALL, LARGE])
    expected, seen = bytes_by_hash(SMALL, LARGE), []
    for stage, name in ((store._files, "keep"), (store._packed, "write")):
        spied = getattr(stage, name)

        def spy(*arguments: Any, spied: Callable[..., None] = spied, **keywords: Any) -> None:
            spied(*arguments, **keywords)
            seen.append(store.get_many(refs) == expected)

        monkeypatch.setattr(stage, name, spy)
    store.sync()
    assert [*seen, store.get_many(refs) == expected] == [True, True, True]


def test_puts_and_touches_that_come_during_a_sync_belong_to_the_next(
    open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    late = [LARGE, b"late", SMALL]
    refs = store.put([SMALL, LARGE])
    spied = store._packed.write

    def put_late(*arguments: Any) -> None:
        monkeypatch.setattr(store, "_clock", lambda: NOON + timedelta(hours=1))
        store.put(late)
        spied(*arguments)
        monkeypatch.undo()

    monkeypatch.setattr(store._packed, "write", put_late)
    store.sync()
    assert set(touched_at(folder).values()) == {NOON}
    assert store.get_many(refs) == bytes_by_hash(SMALL, LARGE)
    store.sync()
    assert touched_at(folder) == dict.fromkeys(bytes_by_hash(*late), NOON + timedelta(hours=1))
    assert files_in(folder / "incoming") == []


def test_what_waits_in_memory_is_bounded_by_a_sync_of_its_own(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "UNSYNCED_LIMIT_BYTES", 50_000)
    store, reader = open_store(), open_store(read_only=True)
    refs = [store.put([SMALL + b"%d" % number])[0] for number in range(5)]
    assert set(reader.scan()) == set(refs[:3])


# Files are linked or copied


def test_a_large_file_is_linked_and_a_small_one_packed(open_store: Open, folder: Path, tmp_path: Path) -> None:
    store = open_store()
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(SMALL)
    large.write_bytes(LARGE)
    refs = [store.put_file(small), store.put_file(large)]
    store.sync()
    assert files_in(folder / "files") == [place_of(folder, refs[1])]
    assert place_of(folder, refs[1]).samefile(large)
    assert store.get_many(refs) == bytes_by_hash(SMALL, LARGE)


def test_what_a_symbolic_link_names_is_stored_and_not_the_link(open_store: Open, folder: Path, tmp_path: Path) -> None:
    store = open_store()
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "latest").symlink_to("large")
    ref = store.put_file(tmp_path / "latest")
    store.sync()
    assert not place_of(folder, ref).is_symlink()
    assert store.get(ref) == LARGE


def test_a_file_that_cannot_be_linked_is_copied(
    open_store: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = open_store()
    (tmp_path / "large").write_bytes(LARGE)
    ref = store.put_file(tmp_path / "large")
    store.sync()
    assert not place_of(folder, ref).samefile(tmp_path / "large")
    assert store.get(ref) == LARGE


@pytest.mark.parametrize("is_file", [False, True], ids=["bytes", "file"])
def test_a_large_blob_and_the_folders_of_its_name_are_durable_before_its_key_is(
    open_store: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_file: bool
) -> None:
    store = open_store()
    (tmp_path / "download").write_bytes(LARGE)
    (ref,) = [store.put_file(tmp_path / "download")] if is_file else store.put([LARGE])
    place, really, synced = place_of(folder, ref), os.fsync, set[int]()

    def sync(descriptor: int) -> None:
        really(descriptor)
        if os.fstat(descriptor).st_size == len(LARGE):
            assert not place.exists()  # the content before its name
        synced.add(os.fstat(descriptor).st_ino)

    def write(*args: Any) -> None:
        assert synced == {path.stat().st_ino for path in (place, place.parent, folder / "files")}
        write_really(*args)

    write_really = store._packed.write
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(store._packed, "write", write)
    store.sync()
    assert store.get(ref) == LARGE


# Damage


def test_a_flipped_byte_in_the_packed_file_is_found_by_whoever_reads_it(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([SMALL, b"sound"])
    store.sync()
    store.close()
    packed = folder / "packed.sqlite"
    flip_byte(packed, packed.read_bytes().index(SMALL[9_000:9_050]) + 7)
    again = open_store()
    with pytest.raises(ArtifactDamaged, match=refs[0].sha256) as caught:
        again.get_many(refs)
    assert (caught.value.subject, bool(caught.value.hint)) == (refs[0].sha256, True)
    assert again.get(refs[1]) == b"sound"


def flip_first_byte(path: Path) -> None:
    flip_byte(path, 0)


def cut_in_half(path: Path) -> None:
    os.truncate(path, len(LARGE) // 2)


@pytest.mark.parametrize("harm", [flip_first_byte, cut_in_half])
def test_a_damaged_file_is_found_by_whoever_reads_it(
    open_store: Open, folder: Path, harm: Callable[[Path], None]
) -> None:
    store = open_store()
    refs = store.put([SMALL, LARGE])
    store.sync()
    harm(place_of(folder, refs[1]))
    with pytest.raises(ArtifactDamaged, match=refs[1].sha256):
        store.get(refs[1])
    assert store.get(refs[0]) == SMALL


def test_a_file_that_somebody_removed_is_missing(open_store: Open, folder: Path) -> None:
    store = open_store()
    (ref,) = store.put([LARGE])
    store.sync()
    place_of(folder, ref).unlink()
    with pytest.raises(ArtifactMissing, match=ref.sha256):
        store.get(ref)


def test_noise_in_the_pages_of_one_blob_damages_that_one_and_a_put_heals_it(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([b"before", SMALL, b"after"])
    store.sync()
    store.close()
    packed = folder / "packed.sqlite"
    content = bytearray(packed.read_bytes())
    for page in range(0, len(content), 4096):
        if (
            content[page + 4 : page + 4096] in SMALL
        ):  # an overflow page: the number of the next one, and bytes of a blob
            content[page : page + 4096] = b"\xff" * 4096
    packed.write_bytes(content)
    again = open_store()
    with pytest.raises(ArtifactDamaged, match=refs[1].sha256):
        again.get_many(refs)
    assert [again.get(refs[0]), again.get(refs[2])] == [b"before", b"after"]
    assert again.put([SMALL]) == [refs[1]]
    again.sync()
    again.close()
    assert open_store().get_many(refs) == bytes_by_hash(b"before", SMALL, b"after")


def test_a_file_that_has_grown_out_of_all_bounds_is_refused_unread(open_store: Open, folder: Path) -> None:
    store = open_store()
    (ref,) = store.put([LARGE])
    store.sync()
    os.truncate(place_of(folder, ref), 2**42)  # sparse: it takes no space, but would take memory
    with pytest.raises(ArtifactDamaged, match=ref.sha256):
        store.get(ref)


def test_a_damaged_page_is_damage_of_the_data_folder(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([b"%d" % number for number in range(5_000)])
    store.sync()
    store.close()
    size_bytes = (folder / "packed.sqlite").stat().st_size
    with (folder / "packed.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size_bytes - 4096))
    again = open_store()
    for use in (again.get_many, again.touch, lambda _: list(again.scan()), lambda _: again.stats()):
        with pytest.raises(DataFolderDamaged, match="does not read back") as caught:
            use(refs)  # type: ignore[operator]
        assert caught.value.hint


def write_text(path: Path) -> None:
    path.write_text("These are not the artifacts you are looking for. " * 100)


def write_another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (egg)")


@pytest.mark.parametrize("write", [write_text, write_another_database])
@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_foreign_file_is_refused_and_left_alone(
    open_store: Open, folder: Path, write: Callable[[Path], None], *, read_only: bool
) -> None:
    (folder / "incoming").mkdir(parents=True)
    (folder / "incoming" / "somebody's").touch()
    write(folder / "packed.sqlite")
    before = (folder / "packed.sqlite").read_bytes()
    with pytest.raises(MachineError, match="not a refold artifact store"):
        open_store(read_only=read_only)
    assert (folder / "packed.sqlite").read_bytes() == before
    assert (folder / "incoming" / "somebody's").exists()


def test_a_store_of_a_newer_release_is_refused(open_store: Open, folder: Path) -> None:
    open_store().close()
    with closing(sqlite3.connect(folder / "packed.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DataFolderVersion, match="format 99"):
        open_store()


def test_a_folder_whose_place_a_file_takes_is_refused(open_store: Open, folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(MachineError, match="artifacts") as caught:
        open_store()
    assert caught.value.hint


def test_another_writer_that_does_not_end_is_named(
    open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.01)
    store = open_store()
    (ref,) = store.put([SMALL])
    with closing(sqlite3.connect(folder / "packed.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataFolderLocked):
            store.sync()
    store.sync()
    assert open_store(read_only=True).get(ref) == SMALL


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, MachineError), (errno.EIO, MachineError)],
    ids=errno.errorcode.get,
)
def test_errors_of_the_file_system_are_told_as_those_of_refold(number: int, error: type[RefoldError]) -> None:
    with (
        pytest.raises(error, match=os.strerror(number)) as caught,
        blob_files.mapped_os_errors("sync", Path("artifacts")),
    ):
        raise OSError(number, os.strerror(number))
    assert (type(caught.value), caught.value.subject, bool(caught.value.hint)) == (error, "artifacts", True)


# Deleting


def test_deleted_bytes_are_nowhere_on_the_disk(open_store: Open, folder: Path) -> None:
    store = open_store()
    refs = store.put([SMALL, LARGE, b"stays"])
    store.sync()
    store.delete(refs[:2])
    everything = b"".join(path.read_bytes() for path in files_in(folder))
    assert SMALL[9_000:9_050] not in everything
    assert LARGE[9_000:9_050] not in everything
    assert store.get(refs[2]) == b"stays"


# A full disk


def test_a_packed_file_that_cannot_grow_is_a_full_disk_and_puts_wait_for_room(open_store: Open, folder: Path) -> None:
    store = open_store()
    (durable,) = store.put([SMALL])
    store.sync()
    connection = store._packed._file.check_writable()
    connection.execute("PRAGMA max_page_count = 20")
    refs = store.put([SMALL * 10, LARGE, b"rolled back with it"])
    with pytest.raises(DiskFull, match=r"packed\.sqlite") as caught:
        store.sync()
    assert caught.value.hint
    assert list(open_store(read_only=True).scan()) == [durable]
    assert store.get_many([durable, *refs]).keys() == {ref.sha256 for ref in [durable, *refs]}
    connection.execute("PRAGMA max_page_count = 100000")
    store.sync()
    reader = open_store(read_only=True)
    assert reader.get_many([durable, *refs]) == bytes_by_hash(SMALL, SMALL * 10, LARGE, b"rolled back with it")
    assert files_in(folder / "incoming") == []


@pytest.mark.parametrize("blob", ["b'y' * PACKED_LIMIT_BYTES * 9", "b'y' * PACKED_LIMIT_BYTES"], ids=["file", "packed"])
def test_a_file_that_cannot_grow_leaves_what_was_durable_readable(open_store: Open, folder: Path, blob: str) -> None:
    store = open_store()
    refs = store.put([SMALL, LARGE])
    store.sync()
    store.close()
    program = (
        "from schemas.errors import MachineError\n"
        "store = opened()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (PACKED_LIMIT_BYTES // 2,) * 2)\n"
        "try:\n"
        f"    store.put([b'fits', {blob}]); store.sync()\n"
        "except MachineError as exc:\n"
        "    held = store.get_many(list(store.scan()))\n"
        "    print(type(exc).__name__, bool(exc.hint), os.listdir('incoming'), len(held))\n"
    )
    answer = run_child(folder, f"os.chdir({str(folder)!r})\n" + program)
    assert answer.stdout.strip() in {"DiskFull True [] 2", "MachineError True [] 4"}, answer.stderr
    assert set(open_store().scan()) == set(refs)


# Crashes


@pytest.mark.parametrize("kills_at", [1, 7, 30])
def test_everything_synced_survives_a_kill(open_store: Open, folder: Path, kills_at: int) -> None:
    program = (
        "store, rng = opened(), random.Random(3)\n"
        "for number in range(100_000):\n"
        "    refs = store.put([rng.randbytes(rng.choice([10, 9_000, PACKED_LIMIT_BYTES + 1])) for _ in range(4)])\n"
        "    store.sync()\n"
        "    print(json.dumps([(ref.sha256, ref.size_bytes) for ref in refs]), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", CHILD + program, str(folder)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        told = [child.stdout.readline() for _ in range(kills_at)]
        child.kill()
        told += [line for line in child.stdout if line.endswith("\n")]
    synced = [ArtifactRef(sha256=key, size_bytes=size) for line in told for key, size in json.loads(line)]
    store = open_store()
    assert len(store.get_many(synced)) == len(synced) >= 4 * kills_at
    assert all(len(store.get(ref)) == ref.size_bytes for ref in store.scan())
    assert files_in(folder / "incoming") == []


@pytest.mark.parametrize("at", ["_files.keep", "_packed.write"])
def test_a_kill_between_the_steps_of_a_sync_leaves_nothing_half_there(open_store: Open, folder: Path, at: str) -> None:
    program = (
        "store = opened()\n"
        "store.put([b'durable']); store.sync()\n"
        f"store.{at} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.put([b'small', b'L' * (PACKED_LIMIT_BYTES + 1)])\n"
        "Path(sys.argv[1], 'incoming', '99').write_bytes(b'half a blo')\n"
        "store.sync()\n"
    )
    assert run_child(folder, program).returncode == -signal.SIGKILL
    store = open_store()
    large = b"L" * (PACKED_LIMIT_BYTES + 1)
    assert list(store.scan()) == [ref_of(b"durable")]
    assert files_in(folder / "incoming") == []
    with pytest.raises(ArtifactMissing):
        store.get(ref_of(large))
    place = place_of(folder, ref_of(large))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"torn, as an unlucky disk may leave it")
    store.put([large])
    store.sync()
    assert store.get(ref_of(large)) == large
