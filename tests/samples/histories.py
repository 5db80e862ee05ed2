"""Event histories for tests: every event follows the rules of `evolve`, or building it fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st

from schemas.events import (
    Action,
    ArtifactRef,
    BatchProgress,
    DocumentCancelled,
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentQueued,
    DocumentReleased,
    DocumentRemoved,
    DocumentSkipped,
    DocumentStarted,
    ErrorClass,
    Finding,
    JobCancelled,
    JobEvent,
    JobFinished,
    JobPaused,
    JobPlanned,
    JobResumed,
    JobSubmitted,
    Meta,
    Mode,
    Priority,
    ReleaseReason,
    RemovalReason,
    SkipReason,
    Stage,
    StageReport,
    VectorsAdded,
    VectorsRef,
)
from schemas.ids import DocumentId, EventId, JobId, document_id_of, event_id_of
from schemas.positions import Position, TopicPartition
from streams.documents.evolve import evolve
from streams.documents.state import DocumentState
from streams.log import Draft, Recorded

EventT = TypeVar("EventT", bound=DocumentEvent)
JobEventT = TypeVar("JobEventT", bound=JobEvent)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FINGERPRINTS = {"FETCH": "fetch-1", "PARSE": "parse-1", "CHUNK": "chunk-1"}


def sha256_of(text: str) -> str:
    """The SHA-256 hex digest of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def artifact(name: str) -> ArtifactRef:
    """A reference to an artifact nobody stored."""
    return ArtifactRef(sha256=sha256_of(name), size_bytes=len(name))


def job_id_of(name: str) -> JobId:
    """The id of the job that tests call `name`."""
    return JobId(event_id_of(name, "job"))


def stage_reports(text: str, *, cached: bool = False) -> tuple[StageReport, ...]:
    """The reports of fetch, parse and chunk for a document that says `text`."""
    return (
        StageReport(stage=Stage.FETCH, fingerprint="fetch-1", input_hash=sha256_of(text), duration_ms=1),
        StageReport(
            stage=Stage.PARSE,
            fingerprint="parse-1",
            input_hash=sha256_of(text),
            output=artifact(f"text of {text}"),
            cached=cached,
            duration_ms=20,
            counts={"characters": len(text)},
        ),
        StageReport(
            stage=Stage.CHUNK,
            fingerprint="chunk-1",
            input_hash=sha256_of(f"text of {text}"),
            output=artifact(f"chunks of {text}"),
            cached=cached,
            duration_ms=3,
            counts={"chunks": 2},
        ),
    )


class Histories:
    """What a slot writes of any number of documents, and people of jobs, in one partition of `documents` and `jobs`.

    `recorded` grows with every call; `states` is the fold. Each event happens a second after the one before.
    """

    def __init__(self, *, partition: int = 0, log_id: str = "log-a", pipeline_id: str = "run-1") -> None:
        self.recorded: list[Recorded] = []
        self.states: dict[DocumentId, DocumentState] = {}
        self._partition = partition
        self._log_id = log_id
        self._pipeline_id = pipeline_id
        self._offsets = {"documents": 0, "jobs": 0}
        self._request_count = 0

    # What tests read.

    @property
    def position(self) -> Position:
        """After everything so far."""
        return position_after(self.recorded)

    def of(self, topic: str) -> list[Recorded]:
        """The events of one topic."""
        return [r for r in self.recorded if r.topic == topic]

    def state(self, uri: str) -> DocumentState:
        """The fold of the document at `uri`."""
        return self.states[document_id_of(uri)]

    # Documents.

    def queued(
        self,
        uri: str = "folder:docs/report.md",
        *,
        job: str | None = None,
        action: Action = Action.INGEST,
        mode: Mode = Mode.AUTO,
        priority: Priority = Priority.NORMAL,
        source_root: str | None = "folder:docs",
        metadata: Mapping[str, str] | None = None,
        modified_at_ns: int = 1,
    ) -> DocumentQueued:
        """A request is taken."""
        self._request_count += 1
        document_id = document_id_of(uri)
        request_id = event_id_of(self._log_id, "DocumentRequested", self._request_count)
        return self._document(
            DocumentQueued(
                meta=self._meta(event_id_of(request_id, "DocumentQueued"), job=job_id_of(job) if job else None),
                document_id=document_id,
                request_id=request_id,
                log_id=self._log_id,
                topic="requests",
                partition=self._partition,
                offset=self._request_count * 2,
                uri=uri,
                adapter="folder",
                action=action,
                mode=mode,
                priority=priority,
                metadata=metadata or {},
                source_root=source_root,
                finding=Finding(uri=uri, size_bytes=40, modified_at_ns=modified_at_ns, validators={"inode": "7"}),
            )
        )

    def started(self, request: DocumentQueued) -> DocumentStarted:
        """Work on it begins."""
        open_request = self.states[request.document_id].request(request.request_id)
        assert open_request is not None
        event_id = event_id_of(request.request_id, "DocumentStarted", open_request.starts)
        return self._answer(
            request, DocumentStarted, event_id=event_id, attempt=open_request.failures + 1, parameters=FINGERPRINTS
        )

    def released(self, request: DocumentQueued) -> DocumentReleased:
        """The start is given up in good order."""
        return self._answer(request, DocumentReleased, reason=ReleaseReason.SHUTDOWN)

    def completed(
        self, request: DocumentQueued, *, text: str = "", chunk_count: int = 2, title: str | None = "A report"
    ) -> DocumentCompleted:
        """A new version exists; `text` is what it says (by default its uri)."""
        said = text or request.uri
        return self._answer(
            request,
            DocumentCompleted,
            version=self.states[request.document_id].version + 1,
            uri=request.uri,
            source_root=request.source_root,
            finding=request.finding,
            content_hash=sha256_of(said),
            fingerprint=sha256_of(f"fingerprint of {said}"),
            stages=stage_reports(said),
            text=artifact(f"text of {said}"),
            chunks=artifact(f"chunks of {said}"),
            vectors=(VectorsRef(embedder="words", dim=4, ref=artifact(f"vectors of {said}")),),
            chunk_count=chunk_count,
            media_type="text/markdown",
            title=title,
            metadata=request.metadata,
            duration_ms=24,
        )

    def skipped(self, request: DocumentQueued, reason: SkipReason = SkipReason.UNCHANGED) -> DocumentSkipped:
        """Nothing had to be done."""
        return self._answer(request, DocumentSkipped, reason=reason, finding=request.finding)

    def failed(
        self,
        request: DocumentQueued,
        *,
        is_final: bool = True,
        error_code: str = "encrypted_pdf",
        stages_done: int = 1,
        text: str = "",
    ) -> DocumentFailed:
        """The attempt failed after some of its stages."""
        return self._answer(
            request,
            DocumentFailed,
            stage=Stage.PARSE,
            stages=stage_reports(text or request.uri)[:stages_done],
            error_class=ErrorClass.PERMANENT if is_final else ErrorClass.TRANSIENT,
            error_code=error_code,
            message="it is encrypted",
            hint="decrypt it",
            is_final=is_final,
            retry_at=None if is_final else NOON + timedelta(hours=1),
        )

    def removed(self, request: DocumentQueued) -> DocumentRemoved:
        """The document left."""
        version = self.states[request.document_id].version
        return self._answer(request, DocumentRemoved, version=version, reason=RemovalReason.REQUESTED)

    def cancelled(self, request: DocumentQueued) -> DocumentCancelled:
        """The request's job was cancelled."""
        return self._answer(request, DocumentCancelled)

    def vectors_added(self, request: DocumentQueued) -> VectorsAdded:
        """The live version has vectors of one more embedder."""
        version = self.states[request.document_id].version
        return self._answer(
            request, VectorsAdded, version=version, embedder="sentences", ref=artifact("sentences"), dim=8
        )

    def ingested(self, uri: str = "folder:docs/report.md", *, job: str | None = None, text: str = "") -> DocumentQueued:
        """A request that is taken, started and completed."""
        request = self.queued(uri, job=job)
        self.started(request)
        self.completed(request, text=text)
        return request

    # Jobs.

    def job_submitted(self, job: str, *, sources: Sequence[str] = ("docs/",)) -> JobSubmitted:
        """An ingest was asked for."""
        return self._job(job, JobSubmitted, sources=sources, parameters={"force": "false"})

    def job_planned(self, job: str, *, requested: int, unchanged: int = 0) -> JobPlanned:
        """All its requests are in the log."""
        return self._job(job, JobPlanned, requested=requested, unchanged=unchanged)

    def job_paused(self, job: str) -> JobPaused:
        """What has not started waits."""
        return self._job(job, JobPaused)

    def job_resumed(self, job: str) -> JobResumed:
        """It goes on."""
        return self._job(job, JobResumed)

    def job_cancelled(self, job: str) -> JobCancelled:
        """It ends."""
        return self._job(job, JobCancelled)

    def job_progressed(self, job: str, *, completed_count: int) -> BatchProgress:
        """How far it is."""
        return self._job(job, BatchProgress, completed_count=completed_count)

    def job_finished(self, job: str, **fields: Any) -> JobFinished:
        """Every request has its answer."""
        return self._job(job, JobFinished, **fields)

    def again(self, event: JobEvent) -> None:
        """The same event of `jobs`, written a second time."""
        assert event.meta.job_id is not None
        self._record("jobs", event.meta.job_id, event)

    # How it is recorded.

    def _meta(self, event_id: EventId, *, job: JobId | None, cause: EventId | None = None) -> Meta:
        moment = NOON + timedelta(seconds=len(self.recorded), microseconds=17)
        return Meta(
            event_id=event_id, occurred_at=moment, pipeline_id=self._pipeline_id, job_id=job, causation_id=cause
        )

    def _answer(
        self, request: DocumentQueued, kind: type[EventT], *, event_id: EventId | None = None, **fields: Any
    ) -> EventT:
        event_id = event_id or event_id_of(request.request_id, kind.__name__, len(self.recorded))
        meta = self._meta(event_id, job=request.meta.job_id, cause=request.request_id)
        return self._document(kind(meta=meta, document_id=request.document_id, request_id=request.request_id, **fields))

    def _document(self, event: EventT) -> EventT:
        state = self.states.get(event.document_id) or DocumentState(document_id=event.document_id)
        event = replace(event, meta=replace(event.meta, sequence=state.sequence + 1))
        self.states[event.document_id] = evolve(state, event, self._offsets["documents"])
        self._record("documents", event.document_id, event)
        return event

    def _job(self, job: str, kind: type[JobEventT], **fields: Any) -> JobEventT:
        job_id = job_id_of(job)
        event = kind(meta=self._meta(event_id_of(job_id, kind.__name__, len(self.recorded)), job=job_id), **fields)
        self._record("jobs", job_id, event)
        return event

    def _record(self, topic: str, key: str, event: DocumentEvent | JobEvent) -> None:
        partition = self._partition if topic == "documents" else 0
        self.recorded.append(Recorded(topic, partition, self._offsets[topic], key, event))
        self._offsets[topic] += 1


def position_after(recorded: Sequence[Recorded], *, since: Position | None = None) -> Position:
    """The position after `recorded`, which follow `since`."""
    seen = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in recorded}
    return (since or Position()).joined(Position(seen))


def drafts_of(recorded: Sequence[Recorded]) -> list[Draft]:
    """The same events, to append them to a log."""
    return [Draft(r.topic, r.key, r.event) for r in recorded]


@st.composite
def histories(draw: st.DrawFn, *, documents: int = 3, max_moves: int = 30) -> Histories:
    """Any legal history of a few documents: crashes, retries, removals, cancelled and superseded requests."""
    made = Histories()
    for _ in range(draw(st.integers(1, max_moves))):
        uri = f"folder:docs/{draw(st.integers(1, documents))}.md"
        move = draw(st.sampled_from(_moves(made, uri)))
        move()
    return made


def _moves(made: Histories, uri: str) -> list[Callable[[], object]]:
    state = made.states.get(document_id_of(uri))
    moves: list[Callable[[], object]] = [
        lambda: made.queued(uri, job="job-1", metadata={"team": "ä"}),
        lambda: made.queued(uri, action=Action.REMOVE, source_root=None, priority=Priority.CRITICAL),
    ]
    if state is None or not state.requests:
        return moves
    first = state.started or state.requests[0]
    moves += _moves_of(made, state, first.queued, is_started=first.started_by is not None)
    last = state.requests[-1]
    if last.started_by is None:
        moves += [lambda: made.cancelled(last.queued), lambda: made.skipped(last.queued, SkipReason.SUPERSEDED)]
    return moves


def _moves_of(
    made: Histories, state: DocumentState, request: DocumentQueued, *, is_started: bool
) -> list[Callable[[], object]]:
    moves: list[Callable[[], object]] = [
        lambda: made.started(request),  # if it is started already, that start crashed
        lambda: made.skipped(request),
        lambda: made.skipped(request, SkipReason.ABSENT),
    ]
    if is_started:
        moves += [
            lambda: made.released(request),
            lambda: made.completed(request),
            lambda: made.completed(request, title=None, chunk_count=0),
            lambda: made.failed(request),
            lambda: made.failed(request, is_final=False),
        ]
    if state.live is not None:
        moves += [lambda: made.removed(request), lambda: made.vectors_added(request)]
    return moves
