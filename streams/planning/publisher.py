"""Turns a plan into requests in the log, and tells the log how planning went.

For one job, in this order:

1. JobSubmitted (not when it is resumed), and each adapter IDLE → STARTING.
2. Per batch of the plan, in one append: its requests, AdapterReported for what could not be looked at, and with the
   first batch each adapter STARTING → RUNNING. Before each batch the gate is asked: it holds back while readers are
   slow.
3. AdapterReported for how many documents are left out, JobPlanned, and each adapter RUNNING → STOPPED.

Event ids follow from the job, so a planner that was killed anywhere plans the same job again and repeats nothing:
requests that are in the log already are counted and not appended.

Without JobPlanned a job is not finished. It is missing after a shutdown (the job is resumed at the next start) and when
a source could not be scanned (somebody has to bring it back, or cancel the job). It is there after a cancellation and
when the removals were refused: all else was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from itertools import islice
from pathlib import Path

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
from streams.id_set import MAX_IDS_PER_CALL, IdSet
from streams.log import Draft, EventLog
from streams.planning.job import Job
from streams.planning.plan import Plan, PlannedAction, PlannedDocument
from streams.planning.removals import MassRemovalRefused
from streams.planning.uploads import Uploads

LEFT_OUT = "live documents are still there, but left out by their sources now: --allow-removals removes them"


class Permission(Enum):
    """What the gate says to the next batch."""

    GO_ON = auto()
    CANCELLED = auto()
    SHUTDOWN = auto()


Gate = Callable[[], Permission]
"""Asked before each batch; returns when the planner may go on, or must not any more."""


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


class Publisher:
    """Publishes plans of jobs. Thread-safe, as the log is; one call per job at a time.

    With `uploads`, each file's content is put into the artifact store and its request says where.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        pipeline_id: str,
        now: Callable[[], datetime],
        scratch: Path,
        uploads: Uploads | None = None,
    ) -> None:
        self._log = log
        self._uploads = uploads
        self._pipeline_id = pipeline_id
        self._now = now
        self._scratch = scratch

    def publish(
        self, job: Job, plan: Plan, *, adapters: Sequence[str], gate: Gate, already: Iterable[EventId] | None = None
    ) -> Published:
        """Ask the log for what `plan` says, and return when all of it is there.

        Args:
            job: The job.
            plan: Its plan, from `Planner.plan`; closed in the end.
            adapters: The names of the adapters whose sources are planned.
            gate: Back-pressure, cancellation and shutdown.
            already: For a job that goes on: the ids of its requests in the log (`requests_in_log`). None submits it.

        Raises:
            MassRemovalRefused: after JobPlanned; everything but the removals was asked for.
            RefoldError: a scan or the log failed; the job is not planned.
        """
        with closing(plan), IdSet(self._scratch) as requests:
            for ids in _chunks(already or (), MAX_IDS_PER_CALL):
                requests.add(ids)
            publication = _Publication(job, requests, adapters, self._pipeline_id, self._now, self._uploads)
            self._log.append(None, publication.opening(is_new=already is None))
            return self._publish(publication, plan, gate)

    def _publish(self, publication: _Publication, plan: Plan, gate: Gate) -> Published:
        while (permission := gate()) is Permission.GO_ON:
            try:
                batch = next(plan, None)
            except MassRemovalRefused as exc:
                self._log.append(
                    None, [publication.report("removals_refused", str(exc)), *publication.planned(str(exc))]
                )
                raise
            except Exception as exc:
                self._log.append(None, publication.state(AdapterState.FAILED, reason=str(exc)))
                raise
            if batch is None:
                self._log.append(None, publication.planned("every source was scanned"))
                return publication.published(is_planned=True)
            if drafts := publication.drafts(batch):
                if self._uploads is not None:
                    self._uploads.sync()
                self._log.append(None, drafts)
        if permission is Permission.CANCELLED:
            self._log.append(None, publication.planned("the job was cancelled"))
        else:
            self._log.append(None, publication.state(AdapterState.STOPPED, reason="shutdown"))
        return publication.published(is_planned=permission is Permission.CANCELLED)


@dataclass(slots=True)
class _Publication:
    """The drafts of one job's planning, and its counts."""

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

    def planned(self, reason: str) -> list[Draft]:
        """Step 3."""
        planned = JobPlanned(
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
            Draft("jobs", self.job.job_id, planned),
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

    def published(self, *, is_planned: bool) -> Published:
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


def _chunks(ids: Iterable[EventId], size: int) -> Iterator[list[EventId]]:
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
