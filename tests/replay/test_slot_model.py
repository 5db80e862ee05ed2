"""A random-interleaving model of the slot: whatever happens in whatever order, the log's promises hold.

Documents are asked for, jobs paused, finished and cancelled, their readers fall behind, attempts end in every way or
outlive their ownership, the manifest lags, its database is away, processes die at every numbered step, commits have
unknown outcomes, requests are sent twice or under an id that another document has, and zombies go on. Whatever happens
in whatever order: no two attempts of a document are at work at once in a process, and nothing counts as a crash but the
death of one; in the end every accepted request has exactly one final answer and every document's sequence is unbroken.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.errors import FatalError, TransientError
from schemas.events import (
    Action,
    DocumentEvent,
    DocumentQueued,
    DocumentRequested,
    DocumentStarted,
    ErrorClass,
    JobCancelled,
    JobFinished,
    JobPaused,
    JobResumed,
    Meta,
    Mode,
    Priority,
    RequestRejected,
    Stage,
    VectorsRef,
    is_answer,
)
from schemas.ids import DocumentId, EventId, JobId, document_id_of, event_id_of
from schemas.positions import Position
from streams.artifact_stores.memory import MemoryArtifacts
from streams.log import Draft, Recorded, SlotNumber, UnknownOutcome
from streams.logs.memory import MemoryLog
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt, AttemptFailed, AttemptOutcome, Unchanged, VectorsProduced
from streams.slot.parts import FAULT_POINTS, SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.workload import Workload
from tests.worlds.folded_states import FoldedStates
from tests.worlds.outcomes import PRODUCED, REF

URIS = [f"push:document-{n}" for n in range(4)]
JOBS = [JobId(f"job-{n}") for n in range(3)]
START = datetime(2026, 1, 1, tzinfo=UTC)


class ProcessDied(BaseException):
    """A process stops here and now."""


class FaultyLog:
    """A log whose next append may die unanswered, before or after it happened."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.loses_answer: str | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, slot: SlotNumber | None, drafts: list[Draft]) -> Position:
        lost, self.loses_answer = self.loses_answer, None
        if lost == "before":
            raise UnknownOutcome
        position = self._log.append(slot, drafts)
        if lost == "after":
            raise UnknownOutcome
        return position


class AbsentStates:
    """Document states whose database may be away for one question."""

    def __init__(self, states: FoldedStates) -> None:
        self._states = states
        self.is_away = False

    def __getattr__(self, name: str) -> object:
        if self.is_away:
            self.is_away = False
            raise TransientError("the database is away")
        return getattr(self._states, name)


class Process:
    """One life of a worker process: a slot, its attempts in work, and its own view of log and manifest."""

    def __init__(self, machine: SlotMachine, pipeline_id: str) -> None:
        self.log = FaultyLog(machine.log.peer())
        self.states = AbsentStates(machine.states)
        self.in_work: dict[EventId, Attempt] = {}
        self.left_behind: set[EventId] = set()
        self.dies_at: str | None = None
        writer = DocumentEventWriter(pipeline_id=pipeline_id, retries=RetryPolicy(), generator=random.Random(7))
        self.slot = Slot(
            0,
            SlotParts(
                log=self.log,
                states=self.states,
                artifacts=MemoryArtifacts(machine.clock),
                writer=writer,
                workload=Workload(limit=3),
                begin=self._begin,
                parameters={"parse": "1"},
                clock=machine.clock,
                monotonic=machine.monotonic,
                held_jobs=lambda: machine.held_jobs,
                fault=self._fault,
                overlay_limit=machine.overlay_limit,
            ),
        )

    def own(self) -> None:
        """Take the slot, until it is taken; what is in work goes on for a while."""
        while True:
            self.left_behind = set(self.in_work)
            with contextlib.suppress(UnknownOutcome, TransientError):
                return self.slot.own()

    def _begin(self, started_id: EventId, attempt: Attempt) -> None:
        assert attempt.request.document_id not in {other.request.document_id for other in self.in_work.values()}
        self.in_work[started_id] = attempt

    def finish(self, started_id: EventId, outcome: str) -> None:
        """The attempt ends; one of an ownership that is over may have been cancelled."""
        attempt = self.in_work.pop(started_id)
        is_cancelled = started_id in self.left_behind and outcome == "permanent"
        self.slot.finished(started_id, None if is_cancelled else _outcome(outcome, attempt))

    def _fault(self, point: str) -> None:
        if point == self.dies_at:
            raise ProcessDied


class SlotMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1000), overlay_limit=st.sampled_from([8, 50_000]))
    def begin(self, seed: int, overlay_limit: int) -> None:
        self.log = MemoryLog(shuffle_seed=seed)
        self.states = FoldedStates(self.log)
        self.truth = FoldedStates(self.log)
        self.died_of: Counter[DocumentId] = Counter()  # the deaths of processes that had begun the document
        self.held_jobs: set[JobId] = set()
        self.overlay_limit = overlay_limit
        self.now = START
        self.lives = 0
        self.ordinal = 0
        self.sent: list[DocumentRequested] = []
        self.refused = 0
        self.zombies: list[Process] = []
        self._new_process()

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - START).total_seconds()

    def _new_process(self) -> None:
        self.lives += 1
        self.truth.catch_up()
        self.died_of.update(d for d, state in self.truth.all().items() if state.started)
        self.process = Process(self, f"run-{self.lives}")
        self.process.own()

    # -- what the world does

    @rule(
        uri=st.sampled_from(URIS),
        action=st.sampled_from([Action.INGEST] * 4 + [Action.REMOVE, Action.REINDEX, Action.RETRY, Action.UNKNOWN]),
        mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.ADD_ONLY, Mode.UPDATE_ONLY, Mode.SKIP_EXISTING]),
        force=st.booleans(),
        priority=st.sampled_from([Priority.CRITICAL, Priority.NORMAL, Priority.BATCH]),
        job=st.sampled_from([None, *JOBS]),
    )
    def ask(self, *, uri: str, action: Action, mode: Mode, force: bool, priority: Priority, job: JobId | None) -> None:
        self.ordinal += 1
        document_id = document_id_of(uri)
        failed = self.states.all().get(document_id)
        cause = failed.last_answer.request_id if failed and failed.last_answer else None
        request = DocumentRequested(
            meta=Meta(
                event_id=event_id_of("model", "DocumentRequested", self.ordinal),
                occurred_at=self.now,
                pipeline_id="world",
                job_id=job,
                causation_id=cause if action is Action.RETRY else None,
            ),
            document_id=document_id,
            uri=uri,
            action=action,
            mode=mode,
            force=force,
            priority=priority,
            content=b"text" if force else None,
        )
        self.sent.append(request)
        self._publish(request)

    @rule(data=st.data())
    def ask_again_with_the_same_id(self, data: st.DataObject) -> None:
        if self.sent:
            self._publish(data.draw(st.sampled_from(self.sent)))

    @rule(uri=st.sampled_from(URIS), data=st.data())
    def ask_with_the_id_of_another_document(self, uri: str, data: st.DataObject) -> None:
        others = [r for r in self.sent if r.uri != uri and r.action is not Action.UNKNOWN]
        if others:
            other = data.draw(st.sampled_from(others))
            self.refused += 1
            self._publish(replace(other, uri=uri, document_id=document_id_of(uri)))

    @rule(uri=st.sampled_from(URIS))
    def ask_under_a_wrong_id(self, uri: str) -> None:
        self.ordinal += 1
        self.refused += 1
        meta = Meta(event_id=EventId(f"wrong-{self.ordinal}"), occurred_at=self.now, pipeline_id="world")
        self._publish(DocumentRequested(meta=meta, document_id=document_id_of("push:other"), uri=uri))

    def _publish(self, request: DocumentRequested) -> None:
        self.log.append(None, [Draft("requests", request.document_id, request)])

    @rule(jobs=st.sets(st.sampled_from(JOBS)))
    def let_readers_fall_behind_or_catch_up(self, jobs: set[JobId]) -> None:
        self.held_jobs = jobs

    @rule(
        job=st.sampled_from(JOBS),
        kind=st.sampled_from([JobPaused, JobPaused, JobResumed, JobResumed, JobFinished, JobCancelled]),
    )
    def say_of_a_job(self, job: JobId, kind: type) -> None:
        self.ordinal += 1
        event_id = EventId(f"said-{self.ordinal}")
        event = kind(meta=Meta(event_id=event_id, occurred_at=self.now, pipeline_id="world", job_id=job))
        self.log.append(None, [Draft("jobs", job, event)])

    @rule(seconds=st.integers(1, 400))
    def let_time_pass(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(events=st.integers(1, 20))
    def let_the_manifest_fold(self, events: int) -> None:
        self.states.catch_up(events)

    # -- what the process does

    @rule()
    def take_turn(self) -> None:
        self._tick(self.process)

    def _tick(self, process: Process) -> None:
        try:
            process.slot.take_turn()
        except (UnknownOutcome, TransientError):
            process.own()

    @rule(outcome=st.sampled_from(["produced", "unchanged", "transient", "permanent"]), data=st.data())
    def finish_an_attempt(self, outcome: str, data: st.DataObject) -> None:
        if self.process.in_work:
            self.process.finish(data.draw(st.sampled_from(sorted(self.process.in_work))), outcome)

    @rule()
    def die_between_ticks(self) -> None:
        self._new_process()

    @rule(point=st.sampled_from(FAULT_POINTS))
    def die_at_a_step(self, point: str) -> None:
        self.process.dies_at = point
        try:
            self._tick(self.process)
        except ProcessDied:
            self._new_process()
        self.process.dies_at = None

    @rule(when=st.sampled_from(["before", "after"]))
    def lose_the_answer_of_a_commit(self, when: str) -> None:
        self.process.log.loses_answer = when
        self._tick(self.process)
        self.process.log.loses_answer = None

    @rule()
    def lose_the_database_for_a_moment(self) -> None:
        self.process.states.is_away = True
        self._tick(self.process)
        self.process.states.is_away = False

    @rule()
    def leave_a_zombie(self) -> None:
        self.zombies.append(self.process)
        self._new_process()

    @rule()
    def a_zombie_goes_on(self) -> None:
        for zombie in self.zombies:
            for started_id, attempt in list(zombie.in_work.items()):
                zombie.slot.finished(started_id, _outcome("produced", attempt))
            before = self.log.end(self.log.partitions("documents"))
            with contextlib.suppress(FatalError):
                zombie.slot.take_turn()
            assert self.log.end(self.log.partitions("documents")) == before
        self.zombies.clear()

    # -- what must hold

    @invariant()
    def at_most_one_final_answer_each(self) -> None:
        if hasattr(self, "log"):
            assert max(_answers(self.log).values(), default=0) <= 1

    @invariant()
    def only_deaths_are_crashes(self) -> None:
        if hasattr(self, "truth"):
            self.truth.catch_up()
            for document_id, state in self.truth.all().items():
                assert all(r.crashes <= self.died_of[document_id] for r in state.requests)

    def teardown(self) -> None:
        if not hasattr(self, "process"):
            return  # it never began
        self.held_jobs = set()
        for number, job in enumerate(JOBS):
            event_id = EventId(f"resume-{number}")
            meta = Meta(event_id=event_id, occurred_at=self.now, pipeline_id="world", job_id=job)
            self.log.append(None, [Draft("jobs", job, JobResumed(meta=meta))])
        self._work_until_idle()
        answers = _answers(self.log)
        taken = {r.event.request_id for r in _records(self.log, "documents") if isinstance(r.event, DocumentQueued)}
        rejected = [r for r in _records(self.log, "adapters") if isinstance(r.event, RequestRejected)]
        asked = {r.meta.event_id for r in self.sent if r.action is not Action.UNKNOWN}
        assert taken == asked
        assert answers == Counter(dict.fromkeys(asked, 1))
        unknown = sum(r.action is Action.UNKNOWN for r in self.sent)
        assert bool(rejected) == bool(self.refused + unknown)
        self.states.catch_up()  # folds every event of every document through evolve: no hole, no fork

    def _work_until_idle(self) -> None:
        for _ in range(500):
            self.states.catch_up()
            self.now += timedelta(seconds=400)
            self._tick(self.process)
            for started_id in list(self.process.in_work):
                self.process.finish(started_id, "produced")
            self.states.catch_up()
            is_taken = self.process.slot.seen == self.log.end(self.log.partitions("requests"))
            if is_taken and not any(s.requests for s in self.states.all().values()):
                return
        pytest.fail("the slot does not come to rest")


def _outcome(kind: str, attempt: Attempt) -> AttemptOutcome:
    if kind in {"transient", "permanent"}:
        error_class = ErrorClass.TRANSIENT if kind == "transient" else ErrorClass.PERMANENT
        return AttemptFailed(
            stage=Stage.PARSE, stages=(), error_class=error_class, error_code="model", message="the model says so"
        )
    if attempt.request.action is Action.REINDEX:
        return VectorsProduced(vectors=VectorsRef(embedder="other", dim=2, ref=REF))
    if kind == "unchanged" and attempt.live is not None:
        return Unchanged(finding=None)
    return PRODUCED


def _records(log: MemoryLog, topic: str) -> list[Recorded]:
    return [r for batch in log.read(log.partitions(topic), Position()) for r in batch.recorded]


def _answers(log: MemoryLog) -> Counter[EventId]:
    return Counter(r.event.request_id for r in _records(log, "documents") if is_answer(r.event))


SlotMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("REFOLD_MODEL_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_slot_model = SlotMachine.TestCase

__all__ = ["DocumentEvent", "DocumentStarted", "replace", "test_slot_model"]
