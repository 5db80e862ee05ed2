"""Artifacts that many processes share, in a folder and in a bucket: files that change, what a power cut spares."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from s3_server import BUCKET, s3_endpoint

from schemas.errors import MachineError, TransientError
from streams.artifact_stores.objects import STREAMED_FROM_BYTES, ObjectArtifacts
from streams.artifact_stores.s3 import S3Artifacts
from streams.artifact_stores.shared_folder import ABANDONED_S, SharedFolderArtifacts
from streams.artifacts import FileChanged, ref_of

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
    folder.touch(refs[:1])
    folder.sync()
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
