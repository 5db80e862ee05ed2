"""The events that planning one job writes: what is drafted for each step of `publisher.py`, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.events import (
    Action,
    AdapterReported,
    AdapterState,
    AdapterStateChange,
    ArtifactRef,
    DocumentRequested,
    Finding,
    JobPlanned,
    Meta,
)
from schemas.ids import EventId, event_id_of
from streams.log import Draft
from streams.planning.job import Job
from streams.planning.plan import PlannedAction, PlannedDocument
from streams.planning.uploads import Uploads
from streams.scratch import IdSet

LEFT_OUT = "live documents are still there, but left out by their sources now: --allow-removals removes them"


@dataclass(frozen=True, slots=True)
class Published:
    """What JobPlanned says; `is_planned` is False where it was not written, because of a shutdown.

    `requested` counts the distinct requests of the job, those of an earlier planning included. `unchanged` counts every
    document that needs nothing: unchanged, failed before, or left alone by the mode. `to_remove` is of this planning,
    and so is `left_out`: live documents that are still there, but not taken by their source any more.
    """

    requested: int
    unchanged: int
    to_remove: int
    unreadable: int
    is_planned: bool
    left_out: int = 0


@dataclass(slots=True)
class Publication:
    """Drafts what one run of a job's planner appends, in the order of the steps, and counts it."""

    job: Job
    requests: IdSet
    adapters: Sequence[str]
    pipeline_id: str
    now: Callable[[], datetime]
    uploads: Uploads | None
    unchanged: int = 0
    to_remove: int = 0
    unreadable: int = 0
    left_out: int = 0
    adapter_state: AdapterState = field(default=AdapterState.IDLE)

    def opening(self, *, is_new: bool) -> list[Draft]:
        """Step 1."""
        submitted = self.job.submitted(self._meta(self._submission_id, caused=False))
        opening = [Draft("jobs", self.job.job_id, submitted)] if is_new else []
        return opening + self.state(AdapterState.STARTING)

    def drafts(self, batch: Sequence[PlannedDocument]) -> list[Draft]:
        """Step 2: what is new in `batch`."""
        asked = {self._request_id(document): document for document in batch if document.action.is_request}
        new = self._new(list(asked))
        unreadable = [document for document in batch if document.action is PlannedAction.UNREADABLE]
        left_out = sum(document.action is PlannedAction.LEFT_OUT for document in batch)
        self.to_remove += sum(document.action is PlannedAction.REMOVE for document in batch)
        self.unreadable += len(unreadable)
        self.left_out += left_out
        self.unchanged += len(batch) - len(asked) - len(unreadable) - left_out
        running = self.state(AdapterState.RUNNING) if self.adapter_state is AdapterState.STARTING else []
        return [
            *running,
            *(self._request(request_id, document) for request_id, document in asked.items() if request_id in new),
            *(self.report("unreadable", f"{d.uri}: {d.reason}", adapter=d.origin.adapter) for d in unreadable),
        ]

    def _new(self, ids: list[EventId]) -> set[str]:
        """Those of `ids` to be asked for: not in the log yet, and within the limit over all plannings of the job."""
        limit = self.job.rules.limit
        if limit is None:
            return self.requests.add(ids)
        new: set[str] = set()
        for request_id in ids:
            if len(self.requests) < limit:
                new |= self.requests.add([request_id])
        return new

    def conclusion(self, reason: str) -> list[Draft]:
        """Step 3."""
        job_planned = JobPlanned(
            meta=self._meta(event_id_of(self.job.job_id, "JobPlanned")),
            requested=len(self.requests),
            unchanged=self.unchanged,
            to_remove=self.to_remove,
            unreadable=self.unreadable,
        )
        running = self.state(AdapterState.RUNNING) if self.adapter_state is AdapterState.STARTING else []
        left_out = [self.report("left_out", f"{self.left_out} {LEFT_OUT}")] if self.left_out else []
        return [
            *running,
            *left_out,
            Draft("jobs", self.job.job_id, job_planned),
            *self.state(AdapterState.STOPPED, reason=reason),
        ]

    def state(self, new_state: AdapterState, *, reason: str = "") -> list[Draft]:
        """Every adapter goes to `new_state`. Its id is of this run: a resumed planner starts its adapters again."""
        old_state, self.adapter_state = self.adapter_state, new_state
        return [
            Draft(
                "adapters",
                adapter,
                AdapterStateChange(
                    meta=self._meta(
                        event_id_of(self.job.job_id, "AdapterStateChange", f"{self.pipeline_id}:{adapter}:{new_state}")
                    ),
                    adapter=adapter,
                    old_state=old_state,
                    new_state=new_state,
                    reason=_printable(reason),
                ),
            )
            for adapter in self.adapters
        ]

    def report(self, kind: str, detail: str, *, adapter: str | None = None) -> Draft:
        """Something an adapter saw."""
        name = adapter or self.adapters[0]
        detail = _printable(detail)
        meta = self._meta(event_id_of(self.job.job_id, "AdapterReported", f"{kind}:{detail}"))
        return Draft("adapters", name, AdapterReported(meta=meta, adapter=name, kind=kind, detail=detail))

    def counts(self, *, is_planned: bool) -> Published:
        """The counts so far."""
        return Published(
            requested=len(self.requests),
            unchanged=self.unchanged,
            to_remove=self.to_remove,
            unreadable=self.unreadable,
            is_planned=is_planned,
            left_out=self.left_out,
        )

    @property
    def _submission_id(self) -> EventId:
        return event_id_of(self.job.job_id, "JobSubmitted")

    def _request_id(self, document: PlannedDocument) -> EventId:
        return event_id_of(self.job.job_id, "DocumentRequested", f"{document.document_id}:{_action(document)}")

    def _request(self, request_id: EventId, document: PlannedDocument) -> Draft:
        action = _action(document)
        finding, content_ref = self._content(document, action)
        request = DocumentRequested(
            meta=self._meta(request_id),
            document_id=document.document_id,
            uri=document.uri,
            adapter=document.origin.adapter,
            action=action,
            mode=self.job.rules.mode,
            force=self.job.rules.force and action is Action.INGEST,
            priority=self.job.priority,
            metadata=document.metadata,
            source_root=document.origin.source_root,
            finding=finding,
            content_ref=content_ref,
        )
        return Draft("requests", document.document_id, request)

    def _content(self, document: PlannedDocument, action: Action) -> tuple[Finding | None, ArtifactRef | None]:
        """The finding to send, and the content to send along, if contents are sent."""
        if self.uploads is None or action is not Action.INGEST or document.finding is None:
            return document.finding, None
        return self.uploads.put(document.finding) or (document.finding, None)

    def _meta(self, event_id: EventId, *, caused: bool = True) -> Meta:
        return Meta(
            event_id=event_id,
            occurred_at=self.now(),
            pipeline_id=self.pipeline_id,
            job_id=self.job.job_id,
            causation_id=self._submission_id if caused else None,
        )


def _action(document: PlannedDocument) -> Action:
    return Action.REMOVE if document.action is PlannedAction.REMOVE else Action.INGEST


def _printable(text: str) -> str:
    """`text` as events can keep it: a path that is no UTF-8 has its odd bytes spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
