"""What the log says of one document; `evolve.py` folds the events into it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schemas.events import (
    DocumentCompleted,
    DocumentQueued,
    Finding,
)
from schemas.ids import DocumentId, EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A taken request that is owed its final answer.

    Attributes:
        queued: The request as it was taken.
        order: The offset of its DocumentQueued in `documents`: requests are taken in this order.
        starts: How often it was started; the next DocumentStarted's id counts from here.
        failures: Starts that ended in a DocumentFailed that was not final.
        crashes: Starts followed by no answer, failure or release; those of a superseded request pass to the later ones,
            for it is the document that is suspect.
        started_by: The pipeline_id of the start that is open now, or None.
        started_id: The event_id of that start.
        parameters: Its stage fingerprints.
        retry_at: When it may be tried again, or None when it need not wait.
    """

    queued: DocumentQueued
    order: int
    starts: int = 0
    failures: int = 0
    crashes: int = 0
    started_by: str | None = None
    started_id: EventId | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    retry_at: datetime | None = None

    @property
    def crashes_so_far(self) -> int:
        """Its crashes, if the start that is open was one, too."""
        return self.crashes + (self.started_by is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """The latest final answer of a document, other than SUPERSEDED and DocumentCancelled, which say nothing of it.

    `kind` is the event's class name; the error fields are set for DocumentFailed; `finding` is the request's;
    `parameters` are the stage fingerprints of the start that it answers (empty if it was answered without one).
    """

    request_id: EventId
    kind: str
    occurred_at: datetime
    finding: Finding | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    stage: str = ""
    error_class: str = ""
    error_code: str = ""
    message: str = ""
    hint: str | None = None
    attempt: int = 0


class _Lineage:
    """Under which orders requests were opened: all that are open in this state, and others of states before and beside.

    Shared by a state and those that follow from it, so that a request can be told to be new without looking at
    thousands of others. No part of what a state says.
    """

    __slots__ = ("opened",)
    opened: dict[EventId, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentState(_Lineage):
    """The fold of one document's events.

    Attributes:
        sequence: Of its last event; 0 before the first.
        version: The latest completed version; removal does not restart it.
        live: The version that indexes should serve, or None: never completed, or removed.
        finding: What is known of the source for the live version (an UNCHANGED answer may be newer than `live`).
        requests: Open requests, in taken order.
        failed_request: The whole request of the last answer when that is a failure; what a RETRY copies.
        settled_order: The `order` of the latest taken request whose answer said what the document is: completed,
            removed, unchanged, or nothing there to remove. A request that was taken before it and is open still was
            passed over; to run it now would bring back what is past (`streams/slot/decide.py`). None before the first.
    """

    document_id: DocumentId
    sequence: int = 0
    version: int = 0
    live: DocumentCompleted | None = None
    finding: Finding | None = None
    requests: tuple[OpenRequest, ...] = ()
    last_answer: LastAnswer | None = None
    failed_request: DocumentQueued | None = None
    settled_order: int | None = None

    def request(self, request_id: EventId) -> OpenRequest | None:
        """The open request of that id, or None."""
        return next((r for r in self.requests if r.queued.request_id == request_id), None)

    def has_open(self, request_id: EventId) -> bool:
        """Whether the request of that id is open."""
        if not hasattr(self, "opened"):
            object.__setattr__(self, "opened", {r.queued.request_id: (r.order,) for r in self.requests})
        return any(self._stands_at(order, request_id) for order in self.opened.get(request_id, ()))

    def _stands_at(self, order: int, request_id: EventId) -> bool:
        place = bisect_left(self.requests, order, key=lambda request: request.order)
        return place < len(self.requests) and self.requests[place].queued.request_id == request_id

    @property
    def started(self) -> OpenRequest | None:
        """The request being worked on, or None; at most one at a time."""
        return next((r for r in self.requests if r.started_by is not None), None)
