"""Contents that a planner sends along: they are there for every process before a request refers to them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import TransientError
from schemas.events import ArtifactRef, DocumentRequested, Finding
from schemas.ids import JobId
from schemas.positions import Position
from streams.artifact_stores.objects import STREAMED_FROM_BYTES
from streams.artifact_stores.shared_folder import SharedFolderArtifacts
from streams.artifacts import ArtifactStore
from streams.documents.uris import file_uri
from streams.log import Draft, SlotNumber
from streams.logs.memory import MemoryLog
from streams.planning.job import Job
from streams.planning.plan import PlanRules
from streams.planning.planner import Planner
from streams.planning.publisher import Permission, Publisher
from streams.planning.uploads import Uploads
from streams.sources.local.files import Files
from streams.sources.local.folder import FolderAdapter
from tests.unit.streams.planning.remembered_documents import PARAMETERS, RememberedDocuments, expected_fingerprint

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LARGE = b"a page of a scan" * (STREAMED_FROM_BYTES // 16 + 1)


def opened(folder: Path) -> SharedFolderArtifacts:
    return SharedFolderArtifacts(folder / "store", clock=lambda: NOON)


class LogOfWorkers(MemoryLog):
    """A log whose readers are workers with a store of their own: they fetch a content as soon as it is asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(partitions=1)
        self._folder = folder
        self.fetched: dict[str, int] = {}

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        store = opened(self._folder)
        for request in [draft.event for draft in drafts if isinstance(draft.event, DocumentRequested)]:
            assert request.content_ref is not None
            self.fetched[request.uri] = len(store.get(request.content_ref))
        store.close()
        return super().append(slot, drafts)


def published(folder: Path, log: MemoryLog, artifacts: ArtifactStore) -> None:
    source = FolderAdapter(str(folder / "docs"))
    planner = Planner(
        RememberedDocuments(), parameters=PARAMETERS, expected_fingerprint=expected_fingerprint, scratch=folder
    )
    uploads = Uploads(artifacts, Files())
    Publisher(log, pipeline_id="planner", now=lambda: NOON, scratch=folder, uploads=uploads).publish(
        Job(job_id=JobId("a-job"), sources=(source.source_uri,)),
        planner.plan([source], PlanRules()),
        adapters=[source.name],
        gate=lambda: Permission.GO_ON,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "small.txt").write_bytes(b"small")
    (tmp_path / "docs" / "scan.txt").write_bytes(LARGE)
    return tmp_path


@pytest.fixture
def artifacts(folder: Path) -> Iterator[SharedFolderArtifacts]:
    store = opened(folder)
    yield store
    store.close()


def test_what_a_request_refers_to_is_read_by_another_process_at_once(
    folder: Path, artifacts: SharedFolderArtifacts
) -> None:
    log = LogOfWorkers(folder)
    published(folder, log, artifacts)
    assert sorted(log.fetched.values()) == [len(b"small"), len(LARGE)]


class WrittenToWhileSent(SharedFolderArtifacts):
    """A line is appended to the file while it is sent."""

    path: Path

    def _send(self, sha256_hex: str, parts: Iterable[bytes]) -> None:
        with self.path.open("ab") as file:
            file.write(b"one more")
        super()._send(sha256_hex, parts)


class StorageAway(SharedFolderArtifacts):
    """A store that takes nothing now."""

    def put_file(self, path: Path) -> ArtifactRef:
        raise TransientError("the storage does not answer", op="put artifact", subject=str(path))


def finding_of(path: Path) -> Finding:
    seen = os.lstat(path)
    return Finding(uri=file_uri(path), size_bytes=seen.st_size, modified_at_ns=seen.st_mtime_ns)


def test_a_large_file_that_grows_while_it_is_sent_goes_without_a_content(folder: Path) -> None:
    path = folder / "docs" / "scan.txt"
    store = WrittenToWhileSent(folder / "store", clock=lambda: NOON)
    store.path = path
    assert Uploads(store, Files()).put(finding_of(path)) is None
    store.sync()
    assert list(store.scan()) == []
    store.close()


def test_a_storage_that_is_away_is_no_fault_of_the_file(folder: Path) -> None:
    """Else each large file of the job would be asked for without its content, and fail for good."""
    store = StorageAway(folder / "store", clock=lambda: NOON)
    with pytest.raises(TransientError):
        Uploads(store, Files()).put(finding_of(folder / "docs" / "scan.txt"))
    store.close()
