"""The port that tells what the manifest knows of documents; `projections` implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.events import Finding, Priority
from schemas.ids import DocumentId, EventId, JobId
from schemas.positions import Position
from streams.documents.state import DocumentState


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """An open request as the scheduler sees it; `order` is the offset of its DocumentQueued in `documents`."""

    order: int
    document_id: DocumentId
    request_id: EventId
    job_id: JobId | None
    priority: Priority
    retry_at: datetime | None
    is_started: bool


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """What a planner compares a finding with.

    `finding`, `content_hash`, `fingerprint`, `media_type` and `metadata` are of the live version (None and empty where
    nothing is live); `failed_finding`, `failed_parameters`, `error_class` are of the last answer if it is a failure.
    """

    document_id: DocumentId
    uri: str
    source_root: str | None
    is_live: bool
    finding: Finding | None = None
    content_hash: str = ""
    fingerprint: str = ""
    media_type: str = ""
    metadata: Mapping[str, str] | None = None
    failed_finding: Finding | None = None
    failed_parameters: Mapping[str, str] | None = None
    error_class: str = ""


class DocumentStates(Protocol):
    """Document states as of a position. Every answer is read in one snapshot with the position it is true at."""

    def position(self) -> Position:
        """How far the log is in these states."""

    def states(self, document_ids: Collection[DocumentId]) -> tuple[Mapping[DocumentId, DocumentState], Position]:
        """The states of those that have any event, and the position they are true at."""

    def known_requests(self, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
        """For which documents those of `request_ids` were taken that ever were, answered or not."""

    def taken_offset(self, log_id: str, partition: int) -> int:
        """The offset of `requests` after the last one taken from the log `log_id`; 0 if none was."""

    def open_requests(
        self,
        partition: int,
        *,
        priority: Priority,
        after_order: int,
        limit: int,
        without_jobs: Collection[JobId] = (),
    ) -> Sequence[QueueEntry]:
        """Open requests with ``order > after_order``, lowest first, leaving out those of `without_jobs`."""

    def started_documents(self, partition: int) -> Sequence[DocumentId]:
        """The documents of which a request may be started and not answered, failed or released; never one too few."""

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        """What a planner needs of those that have any answer or a live version."""

    def live_under(self, source_root: str, *, after: DocumentId | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        """Live documents that a source of that root brought, with their uris, by document_id, after `after`."""

    def live_below(self, uri_prefix: str, *, after: str | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        """Live documents whose uri begins with `uri_prefix`, whoever brought them, by uri, after the uri `after`."""
