"""The events of topics `requests` and `documents`, keyed by document_id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeGuard

from schemas.events.meta import ArtifactRef, Finding, Meta, Mode, Priority
from schemas.ids import DocumentId, EventId


class Action(StrEnum):
    """What a request asks to be done with a document."""

    UNKNOWN = "UNKNOWN"
    INGEST = "INGEST"
    REMOVE = "REMOVE"
    RETRY = "RETRY"
    REINDEX = "REINDEX"


class SkipReason(StrEnum):
    """Why a request was answered without work."""

    UNKNOWN = "UNKNOWN"
    UNCHANGED = "UNCHANGED"
    EXISTS = "EXISTS"
    ABSENT = "ABSENT"
    SUPERSEDED = "SUPERSEDED"


class ErrorClass(StrEnum):
    """What kind of failure it was; TRANSIENT ones are tried again."""

    UNKNOWN = "UNKNOWN"
    TRANSIENT = "TRANSIENT"
    PERMANENT = "PERMANENT"
    POISON = "POISON"
    TIMEOUT = "TIMEOUT"


class RemovalReason(StrEnum):
    """Why a document left: somebody asked, or its source no longer holds it."""

    UNKNOWN = "UNKNOWN"
    REQUESTED = "REQUESTED"
    SOURCE_GONE = "SOURCE_GONE"


class ReleaseReason(StrEnum):
    """Why a start was given up in good order, which counts as no attempt."""

    UNKNOWN = "UNKNOWN"
    SHUTDOWN = "SHUTDOWN"
    REVOKED = "REVOKED"
    RETAKEN = "RETAKEN"


class Stage(StrEnum):
    """The stages of a document, in order."""

    UNKNOWN = "UNKNOWN"
    FETCH = "FETCH"
    PARSE = "PARSE"
    CHUNK = "CHUNK"
    EMBED = "EMBED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one stage did.

    Attributes:
        stage: Which one.
        fingerprint: SHA-256 hex over the stage's own version and settings.
        input_hash: SHA-256 hex of what went in.
        output: What came out; None where the stage keeps nothing (a fetch of a local file).
        cached: Whether the result was taken from the artifact store.
        duration_ms: Wall time in milliseconds.
        counts: Named counters, such as ``pages`` or ``chunks``.
    """

    stage: Stage
    fingerprint: str = ""
    input_hash: str = ""
    output: ArtifactRef | None = None
    cached: bool = False
    duration_ms: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsRef:
    """The vectors of a version by one embedder: float32 little-endian, one row of `dim` per chunk."""

    embedder: str
    dim: int
    ref: ArtifactRef


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRequested:
    """Somebody asks for something to be done with a document; topic `requests`.

    `content` (at most 900 KiB) and `content_ref` carry pushed bytes; both None means the adapter fetches.
    `source_root` is the source the document was found under; None for documents pushed one by one.
    A RETRY names the failed request in ``meta.causation_id``.
    """

    meta: Meta
    document_id: DocumentId
    uri: str
    adapter: str = ""
    action: Action = Action.INGEST
    mode: Mode = Mode.AUTO
    force: bool = False
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, str] = field(default_factory=dict)
    source_root: str | None = None
    finding: Finding | None = None
    content_ref: ArtifactRef | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentQueued:
    """A request was taken: from here on it is owed exactly one final answer.

    `log_id`, `topic`, `partition` and `offset` say where the request stands; the other fields are the request's
    (inline bytes are an artifact by now).
    """

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    log_id: str = ""
    topic: str = ""
    partition: int = 0
    offset: int = 0
    uri: str = ""
    adapter: str = ""
    action: Action = Action.INGEST
    mode: Mode = Mode.AUTO
    force: bool = False
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, str] = field(default_factory=dict)
    source_root: str | None = None
    finding: Finding | None = None
    content_ref: ArtifactRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentStarted:
    """Work on a request begins; written before any work, so that a dying process leaves a trace.

    `attempt` counts from 1 and leaves out crashes and releases; `parameters` holds the stages' fingerprints.
    """

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    attempt: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentReleased:
    """A start was given up in good order; it counts as no attempt and no crash."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    reason: ReleaseReason = ReleaseReason.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCompleted:
    """Answer: a new version exists, with text, chunks and vectors as artifacts."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    version: int
    uri: str = ""
    source_root: str | None = None
    finding: Finding | None = None
    content_hash: str = ""
    fingerprint: str = ""
    stages: Sequence[StageReport] = ()
    text: ArtifactRef | None = None
    chunks: ArtifactRef | None = None
    vectors: Sequence[VectorsRef] = ()
    chunk_count: int = 0
    media_type: str = ""
    title: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    parent: DocumentId | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSkipped:
    """Answer: nothing had to be done; `finding` is what is known of the source now."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    reason: SkipReason = SkipReason.UNKNOWN
    finding: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFailed:
    """An attempt failed; an answer only when `is_final`, else the request waits until `retry_at`."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    stage: Stage = Stage.UNKNOWN
    stages: Sequence[StageReport] = ()
    error_class: ErrorClass = ErrorClass.UNKNOWN
    error_code: str = ""
    message: str = ""
    hint: str | None = None
    attempt: int = 1
    is_final: bool = True
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRemoved:
    """Answer: the document left; `version` is the one that was live."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    version: int = 0
    reason: RemovalReason = RemovalReason.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCancelled:
    """Answer: the request's job was cancelled before it started."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsAdded:
    """Answer to REINDEX: a version has vectors of one more embedder."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId
    version: int
    embedder: str = ""
    ref: ArtifactRef | None = None
    dim: int = 0


DocumentEvent = (
    DocumentQueued
    | DocumentStarted
    | DocumentReleased
    | DocumentCompleted
    | DocumentSkipped
    | DocumentFailed
    | DocumentRemoved
    | DocumentCancelled
    | VectorsAdded
)

Answer = DocumentCompleted | DocumentSkipped | DocumentFailed | DocumentRemoved | DocumentCancelled | VectorsAdded
"""What a request can be answered with; see `is_answer`."""


def is_answer(event: object) -> TypeGuard[Answer]:
    """Whether `event` is a request's final answer: each request gets exactly one."""
    return isinstance(event, Answer) and not (isinstance(event, DocumentFailed) and not event.is_final)
