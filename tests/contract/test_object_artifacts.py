"""Artifacts that many processes share, in a folder and in a bucket: files that change, what a power cut spares."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refold.cluster.projector.touches_trimmer import GO_ON_AFTER_S, TRIM_EVERY_S, TouchesTrimmer
from schemas.errors import MachineError, TransientError
from schemas.events import ArtifactRef
from streams.artifact_stores.objects import STREAMED_FROM_BYTES, ObjectArtifacts
from streams.artifact_stores.s3 import S3Artifacts
from streams.artifact_stores.shared_folder import ABANDONED_S, SharedFolderArtifacts
from streams.artifact_stores.touches import MAX_RECENT, TOUCH_HOLDS, TOUCHES_KEPT, RecentTouches
from streams.artifacts import FileChanged, ref_of
from tests.servers.s3 import BUCKET, s3_endpoint

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LARGE = random.Random(7).randbytes(STREAMED_FROM_BYTES + 1)


class _ChangedWhileSent:
    """The file is changed once its hash is known and nothing was sent yet."""

    change: Callable[[], object] = staticmethod(lambda: None)

    def _send(self, sha256_hex: str, parts: Iterable[bytes]) -> None:
        self.change()
        super()._send(sha256_hex, parts)  # type: ignore[misc]


class SharedFolderOfChangingFiles(_ChangedWhileSent, SharedFolderArtifacts):
    """A shared folder."""


class S3OfChangingFiles(_ChangedWhileSent, S3Artifacts):
    """A bucket."""


def changing_folder(folder: Path) -> SharedFolderOfChangingFiles:
    return SharedFolderOfChangingFiles(folder / "store", clock=lambda: NOON)


def changing_s3(folder: Path) -> S3OfChangingFiles:
    return S3OfChangingFiles(
        BUCKET,
        prefix=str(folder),
        clock=lambda: NOON,
        endpoint=s3_endpoint(),
        access_key_id="test",
        secret_access_key="test",  # noqa: S106 - moto takes anybody
    )


Changing = SharedFolderOfChangingFiles | S3OfChangingFiles


@pytest.fixture(params=[changing_folder, changing_s3], ids=["shared folder", "s3"])
def changing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Changing]:
    opened = request.param(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SharedFolderArtifacts]:
    opened = SharedFolderArtifacts(tmp_path / "store", clock=lambda: NOON)
    yield opened
    opened.close()


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"a line more")


@pytest.mark.parametrize(
    "change",
    [appended, lambda path: path.write_bytes(LARGE[:-1] + b"?"), lambda path: os.truncate(path, 9)],
    ids=["grows", "is changed in place", "shrinks"],
)
def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    changing: Changing, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "growing.log"
    path.write_bytes(LARGE)
    changing.change = lambda: change(path)
    with pytest.raises(FileChanged):
        changing.put_file(path)
    changing.sync()
    assert list(changing.scan()) == []

    changing.change = lambda: None
    path.write_bytes(LARGE)
    assert changing.put_file(path) == ref_of(LARGE)
    changing.sync()
    assert changing.get(ref_of(LARGE)) == LARGE


def test_a_file_that_stays_small_enough_only_when_it_is_looked_at_is_stored_as_it_is_read(
    changing: Changing, tmp_path: Path
) -> None:
    """What counts is what was read, not what the file's size was a moment before."""
    path = tmp_path / "grown.log"
    path.write_bytes(LARGE[:-1])
    assert changing.put_file(path) == ref_of(LARGE[:-1])
    appended(path)
    assert changing.put_file(path) == ref_of(LARGE[:-1] + b"a line more")


class Synced:
    """What was made durable: the inodes that were synced, and whether each had its name by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, blobs: Path) -> None:
        self.inodes: set[int] = set()
        self._really = os.fsync
        self._blobs = blobs
        monkeypatch.setattr("os.fsync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self._really(descriptor)
        self.inodes.add(os.fstat(descriptor).st_ino)
        assert os.fstat(descriptor).st_ino not in {path.stat().st_ino for path in self._blobs.iterdir()}

    def has(self, path: Path) -> bool:
        return path.stat().st_ino in self.inodes


@pytest.mark.parametrize("blob", [b"small", LARGE], ids=["small", "large"])
def test_a_blob_in_a_shared_folder_is_durable_before_it_has_its_name(
    folder: SharedFolderArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blob: bytes
) -> None:
    """Else another process could find it, refer to it, and lose it in a power cut."""
    download, blobs = tmp_path / "download", tmp_path / "store" / "blobs"
    download.write_bytes(blob)
    synced = Synced(monkeypatch, blobs)
    ref = folder.put_file(download)
    folder.sync()
    assert synced.has(blobs / ref.sha256)
    assert synced.has(blobs)


def test_touches_and_deletions_in_a_shared_folder_are_durable(
    folder: SharedFolderArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = folder.put([b"touched", b"deleted"])
    folder.sync()
    synced = Synced(monkeypatch, tmp_path / "store" / "blobs")
    another = SharedFolderArtifacts(tmp_path / "store", clock=lambda: NOON)
    another.touch(refs[:1])
    another.sync()
    another.close()
    (touches,) = (tmp_path / "store" / "touches").iterdir()
    assert synced.has(touches)
    assert synced.has(touches.parent)

    synced.inodes.clear()
    folder.delete(refs[1:])
    assert synced.has(tmp_path / "store" / "blobs")


def test_what_died_processes_left_half_written_is_dropped_and_what_is_being_written_stays(
    folder: SharedFolderArtifacts, tmp_path: Path
) -> None:
    incoming = tmp_path / "store" / "incoming"
    folder.put([b"first"])
    folder.sync()
    left, written = incoming / "left", incoming / "being-written"
    left.write_bytes(b"half")
    written.write_bytes(b"half")
    os.utime(left, (0, left.stat().st_mtime - ABANDONED_S - 60))
    another = SharedFolderArtifacts(tmp_path / "store", clock=lambda: NOON)
    another.put([b"second"])
    another.sync()
    another.close()
    assert list(incoming.iterdir()) == [written]
    assert {ref.size_bytes for ref in folder.scan()} == {len(b"first"), len(b"second")}


def test_a_shared_folder_is_opened_and_read_by_whoever_may_not_write_to_it(
    folder: SharedFolderArtifacts, tmp_path: Path
) -> None:
    (ref,) = folder.put([b"read by all"])
    folder.sync()
    before = {path: path.stat().st_mtime_ns for path in [tmp_path / "store", *(tmp_path / "store").rglob("*")]}
    reader: ObjectArtifacts = SharedFolderArtifacts(tmp_path / "store", clock=lambda: NOON)
    assert reader.get(ref) == b"read by all"
    assert list(reader.scan()) == [ref]
    reader.close()
    assert before == {path: path.stat().st_mtime_ns for path in [tmp_path / "store", *(tmp_path / "store").rglob("*")]}


def test_a_shared_folder_that_is_gone_is_told(folder: SharedFolderArtifacts, tmp_path: Path) -> None:
    folder.put([b"first"])
    folder.sync()
    (tmp_path / "store").rename(tmp_path / "moved")
    folder.put([b"second"])
    with pytest.raises((MachineError, TransientError)) as raised:
        folder.sync()
    assert raised.value.hint
    (tmp_path / "moved").rename(tmp_path / "store")
    folder.sync()
    assert len(list(folder.scan())) == 2


class Process:
    """A process of its own, whose seconds a test moves."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.store = SharedFolderArtifacts(folder / "store", clock=lambda: NOON, monotonic=lambda: self.now_s)

    def commit(self, refs: list[ArtifactRef]) -> None:
        """A commit whose documents meet what is there."""
        self.store.touch(refs)
        self.store.sync()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.store.close()


def age(folder: Path, by: timedelta) -> None:
    """Let that time pass for all that lies in `folder`, by the storage's clock."""
    for path in folder.iterdir():
        at_s = path.stat().st_mtime - by.total_seconds()
        os.utime(path, (at_s, at_s))


def touches(folder: Path) -> list[Path]:
    there = folder / "store" / "touches"
    return sorted(there.iterdir()) if there.exists() else []


def test_commits_that_meet_the_same_artifacts_say_so_once_an_hour(process: Process, tmp_path: Path) -> None:
    writer = Process(tmp_path)
    refs = writer.store.put([b"met again and again", b"met later"])
    writer.store.sync()
    for _ in range(50):
        process.commit(refs[:1])
    assert len(touches(tmp_path)) == 1
    process.commit(refs)
    assert len(touches(tmp_path)) == 2
    process.now_s = TOUCH_HOLDS.total_seconds()
    for _ in range(50):
        process.commit(refs)
    assert len(touches(tmp_path)) == 3
    for _ in range(50):
        writer.commit(refs)  # it has put them itself
    assert len(touches(tmp_path)) == 3


def test_what_was_touched_is_known_by_the_storages_clock(process: Process, tmp_path: Path) -> None:
    store = process.store
    touched, untouched = store.put([b"touched", b"untouched"])
    store.sync()
    age(tmp_path / "store" / "blobs", timedelta(days=3))
    now = datetime.now(UTC)
    assert store.touched_since(now) == set()
    another = Process(tmp_path)
    another.commit([touched])
    assert store.touched_since(now) == {touched.sha256}
    age(tmp_path / "store" / "touches", 2 * TOUCH_HOLDS)
    assert store.touched_since(now) == set()
    assert store.touched_since(now - 2 * TOUCH_HOLDS) == {touched.sha256}
    assert untouched.sha256 in store.touched_since(now - timedelta(days=4))


def test_a_touch_that_was_not_said_again_is_known_for_as_long_as_it_holds(process: Process, tmp_path: Path) -> None:
    (ref,) = process.store.put([b"put, and touched within the hour"])
    process.store.sync()
    age(tmp_path / "store" / "blobs", TOUCH_HOLDS - timedelta(minutes=1))
    process.now_s = TOUCH_HOLDS.total_seconds() - 60.0
    moment = datetime.now(UTC)
    process.commit([ref])
    assert touches(tmp_path) == []
    assert process.store.touched_since(moment) == {ref.sha256}


def test_old_touches_are_forgotten_and_those_of_the_last_day_stay(process: Process, tmp_path: Path) -> None:
    refs = process.store.put([f"artifact {number}".encode() for number in range(6)])
    process.store.sync()
    for ref in refs[:3]:
        Process(tmp_path).commit([ref])
    age(tmp_path / "store" / "touches", timedelta(hours=2))
    Process(tmp_path).commit(refs[3:4])
    age(tmp_path / "store" / "touches", TOUCHES_KEPT - timedelta(hours=1))
    Process(tmp_path).commit(refs[4:5])
    assert len(touches(tmp_path)) == 5

    trimmer = TouchesTrimmer(process.store, monotonic=lambda: process.now_s)
    trimmer.step()

    assert len(touches(tmp_path)) == 2
    assert process.store.touched_since(datetime.now(UTC) - TOUCHES_KEPT) >= {refs[3].sha256, refs[4].sha256}
    age(tmp_path / "store" / "touches", timedelta(days=30))
    trimmer.step()
    assert len(touches(tmp_path)) == 2  # nothing was touched since: they are as old as the latest
    Process(tmp_path).commit(refs[5:])
    trimmer.step()
    assert len(touches(tmp_path)) == 3
    process.now_s += TRIM_EVERY_S
    trimmer.step()
    assert len(touches(tmp_path)) == 1
    assert {ref.sha256 for ref in process.store.scan()} == {ref.sha256 for ref in refs}


def test_many_old_touches_are_forgotten_portion_by_portion(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.artifact_stores.touches.FORGOTTEN_AT_ONCE", 2)
    refs = process.store.put([f"artifact {number}".encode() for number in range(6)])
    process.store.sync()
    for ref in refs[:5]:
        Process(tmp_path).commit([ref])
    age(tmp_path / "store" / "touches", 2 * TOUCHES_KEPT)
    Process(tmp_path).commit(refs[5:])
    trimmer = TouchesTrimmer(process.store, monotonic=lambda: process.now_s)
    left = []
    for _ in range(4):
        trimmer.step()
        left.append(len(touches(tmp_path)))
        process.now_s += GO_ON_AFTER_S
    assert left == [4, 2, 1, 1]


def test_recent_touches_do_not_pile_up() -> None:
    now_s = [0.0]
    recent = RecentTouches(lambda: now_s[0])
    recent.note([str(number) for number in range(MAX_RECENT)])
    recent.note(["0"])
    recent.note(["new"])
    assert recent.lacking(["0", "1", "2", "new"]) == {"1"}
    recent.forget(["new"])
    assert recent.lacking(["new"]) == {"new"}
    now_s[0] = TOUCH_HOLDS.total_seconds()
    assert recent.lacking(["0", "2"]) == {"0", "2"}
