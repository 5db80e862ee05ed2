"""What the manifest answers about documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.events import Finding
from schemas.ids import DocumentId, EventId
from schemas.positions import Position
from streams.documents.state import DocumentState


class DocumentStatus(StrEnum):
    """A document in one word; the first that holds.

    FAILED: its last answer is a final failure (an older version may still be live). LIVE: a version is searchable or
    about to be. QUEUED: it has open requests. REMOVED: it was live once. ABSENT: its requests were answered without it
    ever being completed.
    """

    FAILED = "failed"
    LIVE = "live"
    QUEUED = "queued"
    REMOVED = "removed"
    ABSENT = "absent"


def status_of(state: DocumentState) -> DocumentStatus:
    """The status of a document in that state."""
    if state.failed_request is not None:
        return DocumentStatus.FAILED
    if state.live is not None:
        return DocumentStatus.LIVE
    if state.requests:
        return DocumentStatus.QUEUED
    return DocumentStatus.REMOVED if state.version else DocumentStatus.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalFailure:
    """A final failure that is a document's last answer."""

    request_id: EventId
    failed_at: datetime
    stage: str
    error_class: str
    error_code: str
    message: str
    hint: str | None
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDocument:
    """A document as the manifest knows it.

    `fingerprint` to `completed_at` are of the live version, empty or None where nothing is live; `version` is the
    latest one completed; `answer_kind` is the last answer's event; `failure` is set if that is a final failure.
    """

    document_id: DocumentId
    uri: str
    source_root: str | None
    status: DocumentStatus
    is_live: bool
    sequence: int
    version: int
    fingerprint: str
    content_hash: str
    media_type: str
    title: str | None
    chunk_count: int
    metadata: Mapping[str, str]
    finding: Finding | None
    completed_at: datetime | None
    updated_at: datetime
    open_requests: int
    answer_kind: str | None
    answered_at: datetime | None
    failure: FinalFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A document whose last answer is a final failure."""

    document_id: DocumentId
    uri: str
    source_root: str | None
    is_live: bool
    failure: FinalFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event of a document, in a line; the event itself stands at `partition` and `offset` of `documents`."""

    sequence: int
    partition: int
    offset: int
    kind: str
    occurred_at: datetime
    version: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCounts:
    """How many documents there are of each status, chunks of live versions, and open requests, at `position`."""

    documents: Mapping[DocumentStatus, int]
    live_documents: int
    live_chunks: int
    open_requests: int
    position: Position
