"""A slot at work over a log in memory, turn by turn: what it has begun waits until a test lets it end."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import (
    Action,
    ArtifactRef,
    DocumentEvent,
    DocumentRequested,
    ErrorClass,
    JobEvent,
    Meta,
    PipelineEvent,
    Stage,
)
from schemas.ids import EventId, JobId, document_id_of, random_id
from schemas.positions import Position
from streams.artifact_stores.memory import MemoryArtifacts
from streams.documents.state import DocumentState
from streams.log import Draft, EventLog
from streams.logs.memory import MemoryLog
from streams.placement import partition_of
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt, AttemptFailed, AttemptOutcome
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.workload import Workload
from tests.worlds.folded_states import FoldedStates
from tests.worlds.outcomes import PRODUCED, REF

START = datetime(2026, 1, 1, tzinfo=UTC)


def artifact(digit: str) -> ArtifactRef:
    """A reference to content that is told from others by one digit."""
    return ArtifactRef(sha256=digit * 64, size_bytes=1)


def failed_for_now(retry_after_s: float) -> AttemptFailed:
    """A failure that passes."""
    return AttemptFailed(
        stage=Stage.FETCH,
        stages=(),
        error_class=ErrorClass.TRANSIENT,
        error_code="away",
        message="the source is away",
        retry_after_s=retry_after_s,
    )


class SlotWorld:
    """One slot in one process; a second world over the same `log` and `states` is another process, or another slot.

    Args:
        limit: Documents that may be in work at once.
        workload: Of the process, if two slots share it.
        begin: Runs attempts; by default they wait in `in_work`.
        parts: Further parts of the slot.
    """

    def __init__(
        self,
        *,
        number: int = 0,
        log: EventLog | None = None,
        states: Any = None,
        run: str = "run-1",
        limit: int = 3,
        workload: Workload | None = None,
        begin: Callable[[EventId, Attempt], None] | None = None,
        **parts: Any,
    ) -> None:
        self.now = START
        self.log: EventLog = log or MemoryLog()
        self.states = states or FoldedStates(self.log)
        self.in_work: dict[EventId, Attempt] = {}
        self.held_jobs: Collection[JobId] = ()
        self.slot = Slot(
            number,
            SlotParts(
                log=self.log,
                states=self.states,
                artifacts=MemoryArtifacts(lambda: self.now),
                writer=DocumentEventWriter(pipeline_id=run, retries=RetryPolicy(), generator=random.Random(7)),
                workload=workload or Workload(limit),
                begin=begin or self.in_work.__setitem__,
                parameters={"parse": "1"},
                clock=lambda: self.now,
                monotonic=lambda: 0.0,
                held_jobs=lambda: self.held_jobs,
                **parts,
            ),
        )

    def ask(
        self, name: str, action: Action = Action.INGEST, *, job: str | None = None, **fields: Any
    ) -> DocumentRequested:
        """Ask for the document called ``push:NAME``."""
        uri = f"push:{name}"
        meta = Meta(
            event_id=EventId(fields.pop("request_id", None) or random_id()),
            occurred_at=self.now,
            pipeline_id="a client",
            job_id=JobId(job) if job else None,
        )
        fields = {"content_ref": REF if action is Action.INGEST else None, **fields}
        request = DocumentRequested(
            meta=meta, document_id=document_id_of(uri), uri=uri, adapter="push", action=action, **fields
        )
        self.log.append(None, [Draft("requests", request.document_id, request)])
        return request

    def say(self, kind: type[JobEvent], job: str) -> None:
        """Tell something of a job."""
        meta = Meta(event_id=EventId(random_id()), occurred_at=self.now, pipeline_id="a client", job_id=JobId(job))
        self.log.append(None, [Draft("jobs", job, kind(meta=meta))])  # type: ignore[call-arg]  # all have defaults

    def work(self) -> None:
        """Let the slot do all it can do now."""
        while self.slot.take_turn():
            pass

    def finish(self, outcome: AttemptOutcome = PRODUCED) -> None:
        """All that is in work comes to `outcome`, and what follows is done."""
        for started_id in list(self.in_work):
            del self.in_work[started_id]
            self.slot.finished(started_id, outcome)
        self.work()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def names_in_work(self) -> list[str]:
        """The documents in work, as they were asked for."""
        return sorted(attempt.request.uri.removeprefix("push:") for attempt in self.in_work.values())

    def state(self, name: str) -> DocumentState:
        """What the log says of a document now."""
        states = FoldedStates(self.log)
        states.catch_up()
        return states.all()[document_id_of(f"push:{name}")]

    def told(self, name: str) -> list[str]:
        """The document's events, by kind and reason, in order."""
        document_id = document_id_of(f"push:{name}")
        return [_short(event) for event in events_of(self.log, "documents") if _is_of(event, document_id)]


def events_of(log: EventLog, topic: str) -> list[PipelineEvent]:
    """The events of a topic, by partition in order."""
    return [
        recorded.event
        for tp in log.partitions(topic)
        for batch in log.read([tp], Position())
        for recorded in batch.recorded
    ]


def names_in_slot(number: int, count: int, *, slots: int = 2) -> list[str]:
    """So many names of pushed documents that belong to slot `number`."""
    names = (f"document-{n}" for n in range(1_000_000))
    mine = (name for name in names if partition_of(document_id_of(f"push:{name}"), slots) == number)
    return [next(mine) for _ in range(count)]


def _is_of(event: PipelineEvent, document_id: str) -> bool:
    return isinstance(event, DocumentEvent) and event.document_id == document_id


def _short(event: PipelineEvent) -> str:
    kind = type(event).__name__.removeprefix("Document")
    reason = getattr(event, "reason", None)
    return f"{kind} {reason}" if reason else kind
