"""A slot at work: one partition of requests, answered.

The order of a commit, one append per tick (told the same way in ``ops/architecture.md`` and the runbooks):

1. artifacts synced: what the append will refer to is durable,
2. one atomic append: intake's DocumentQueued, finished answers, failures, and the next DocumentStarted,
3. memory updated: overlay, intake offset, backlog,
4. the newly started begin.

A crash before (2) leaves nothing but unreferenced artifacts; between (2) and (4) it leaves open starts, which count as
crashes of their documents; never a lost or a doubled answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.events import DocumentEvent, DocumentQueued, DocumentStarted, ReleaseReason, SkipReason
from schemas.ids import DocumentId, EventId
from schemas.positions import Position, TopicPartition
from streams import log as log_port
from streams.answers import AnswerWriter
from streams.artifacts import ArtifactStore
from streams.attempt import Attempt, AttemptOutcome
from streams.backlog import Backlog
from streams.decide import MAX_CRASHES, Cancel, Decision, GiveUp, Remove, Skip, Start, Wait, decide
from streams.document_state import DocumentState, OpenRequest
from streams.document_states import DocumentStates
from streams.intake import Intake
from streams.job_controls import FollowedJobs
from streams.log import EventLog
from streams.overlay import OVERLAY_LIMIT, Overlay
from streams.scheduler import WeightedScheduler
from streams.turn import Turn
from streams.workload import Workload

CHOICES_PER_TURN = 500
"""Answers that need no work (skips, removals, cancellations) per commit: a few milliseconds of folding."""

LOOK_AHEAD = 64
"""Documents whose states are loaded together when one is chosen."""

FAULT_POINTS = ("before sync", "artifacts synced", "appended", "memory updated", "begun")
"""Where a crash test may stop the slot: around each numbered step."""


def no_fault(point: str) -> None:
    """The hook of production: nothing happens at `point`."""


def uncounted(events: Sequence[DocumentEvent]) -> None:
    """The hook of those who count nothing: `events` are durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotParts:
    """What a slot works with.

    `begin` hands a started attempt to whoever runs it and returns at once; the outcome comes back by `Slot.finished`.
    `may_start` is asked before each start: a slow consumer says no. `written` is told what each append has written; it
    must be quick and must not raise. `fault` is for crash tests.
    """

    log: EventLog
    states: DocumentStates
    artifacts: ArtifactStore
    writer: AnswerWriter
    workload: Workload
    begin: Callable[[EventId, Attempt], None]
    parameters: Mapping[str, str]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    may_start: Callable[[], bool] = lambda: True
    written: Callable[[Sequence[DocumentEvent]], None] = uncounted
    fault: Callable[[str], None] = no_fault
    max_crashes: int = MAX_CRASHES
    overlay_limit: int = OVERLAY_LIMIT


@dataclass(slots=True)
class _Flight:
    document_id: DocumentId
    request_id: EventId
    began_s: float
    is_over: bool = False  # its outcome is here, so it is in work no more; it is a flight until that is in the log


@dataclass(slots=True)
class _Started:
    """What a turn starts: begun only after the append."""

    event: DocumentStarted
    attempt: Attempt


@dataclass(slots=True)
class _Work:
    """A turn and what has to happen in memory when it is committed."""

    turn: Turn
    now: datetime
    started: list[_Started] = field(default_factory=list)
    landed: list[EventId] = field(default_factory=list)


class Slot:
    """Owns one slot of the log. All methods but `finished` are called from one thread, the slot's committer."""

    def __init__(self, number: int, parts: SlotParts) -> None:
        self._number = log_port.Slot(number)
        self._parts = parts
        self._tp = TopicPartition("documents", number)
        self._overlay = Overlay(parts.states, number, limit=parts.overlay_limit)
        self._jobs = FollowedJobs(parts.log)
        self._scheduler = WeightedScheduler()
        self._finished: deque[tuple[EventId, AttemptOutcome]] = deque()
        self._flights: dict[EventId, _Flight] = {}
        self._busy: set[DocumentId] = set()
        self._loaded: dict[DocumentId, DocumentState] = {}
        self._is_draining = False
        self._intake = Intake(
            parts.log, parts.artifacts, self._overlay, partition=number, pipeline_id=parts.writer.pipeline_id
        )
        self._backlog = Backlog(parts.states, self._overlay, number)

    @property
    def in_flight(self) -> int:
        """Documents in work."""
        return len(self._flights)

    @property
    def reads(self) -> Sequence[TopicPartition]:
        """The partitions that tell this slot what to do."""
        return [TopicPartition("requests", self._number), *self._parts.log.partitions("jobs")]

    @property
    def seen(self) -> Position:
        """How far requests were taken in."""
        return self._intake.seen

    def own(self) -> None:
        """Take the slot: forget everything, fold the log, release what this very process had started before.

        The caller holds the lock or the assignment; the manifest is near the end (`Overlay.is_full` says when not).
        """
        self._parts.log.own(self._number)
        for flight in self._flights.values():
            self._leave(flight)
        self._flights.clear()
        self._busy.clear()
        self._loaded.clear()
        self._overlay.load(self._parts.log, self._parts.log.end([self._tp]))
        self._intake.start()
        self._backlog = Backlog(self._parts.states, self._overlay, self._number)
        self._jobs.follow()
        self._release_own_starts()

    def finished(self, started_id: EventId, outcome: AttemptOutcome) -> None:
        """The attempt that DocumentStarted `started_id` began has come to `outcome`; thread-safe."""
        self._finished.append((started_id, outcome))

    def next_due(self) -> datetime | None:
        """When a waiting retry becomes due, or None: the latest time for the next tick."""
        return self._backlog.next_due()

    def tick(self) -> bool:
        """Do what can be done now in one commit; False when there was nothing."""
        self._overlay.forget_passed(self._busy)
        if self._jobs.follow():
            self._backlog.rescan()
        work = _Work(Turn(self._overlay.end_offset), self._parts.clock())
        self._land(work)
        if not self._overlay.is_full and not self._is_draining:
            if self._overlay.has_room_for_intake:
                self._intake.draft(work.turn, work.now, self._states_of)
            self._choose(work)
        if not work.turn.drafts:
            self._intake.accept()
            return bool(work.landed)
        self._commit(work)
        return True

    def drain(self) -> None:
        """Take and start nothing more; what is in work may land."""
        self._is_draining = True

    def release(self, reason: ReleaseReason) -> None:
        """Give up what is still in work, in good order; outcomes that come later are ignored."""
        work = _Work(Turn(self._overlay.end_offset), self._parts.clock())
        self._land(work)
        for started_id, flight in self._flights.items():
            if started_id in work.landed:
                continue
            state = self._state_of(flight.document_id, work.turn)
            request = state.request(flight.request_id)
            if request is not None:
                work.turn.add(state, self._parts.writer.released(state, request, work.now, reason=reason))
                work.landed.append(started_id)
        if work.turn.drafts:
            self._commit(work)

    def _release_own_starts(self) -> None:
        work = _Work(Turn(self._overlay.end_offset), self._parts.clock())
        for state in list(self._overlay.open_states()):
            started = state.started
            if started is not None and started.started_by == self._parts.writer.pipeline_id:
                event = self._parts.writer.released(state, started, work.now, reason=ReleaseReason.RETAKEN)
                work.turn.add(state, event)
        if work.turn.drafts:
            self._commit(work)

    # -- what a turn consists of

    def _land(self, work: _Work) -> None:
        """Draft the answers of attempts that have finished."""
        for _ in range(len(self._finished)):
            started_id, outcome = self._finished.popleft()
            flight = self._flights.get(started_id)
            if flight is None or started_id in work.landed:
                continue  # of an ownership that was given up
            self._leave(flight)
            state = self._state_of(flight.document_id, work.turn)
            request = state.request(flight.request_id)
            if request is None:
                continue
            event = self._parts.writer.outcome(
                state,
                request,
                work.now,
                outcome=outcome,
                duration_ms=int((self._parts.monotonic() - flight.began_s) * 1000),
            )
            work.turn.add(state, event)
            work.landed.append(started_id)

    def _choose(self, work: _Work) -> None:
        """Draft starts while there is room, and whatever needs no work on the way."""
        landed = {self._flights[s].document_id for s in work.landed}
        for _ in range(CHOICES_PER_TURN):
            if not (self._parts.workload.has_room() and self._parts.may_start()):
                return
            priority = self._scheduler.choose(self._backlog.waiting(work.now, self._jobs.paused))
            if priority is None:
                return
            self._load(self._backlog.ahead(priority, LOOK_AHEAD))
            document_id = self._backlog.pop(priority)
            if document_id in self._busy or document_id in landed:
                continue  # it comes back when it has landed
            state = self._state_of(document_id, work.turn)
            if not self._act(work, state, self._decide(state, work.now)):
                self._backlog.come_back(document_id, priority)
                return

    def _decide(self, state: DocumentState, now: datetime) -> Decision | None:
        return decide(
            state,
            now=now,
            jobs=self._jobs,
            parameters=self._parts.parameters,
            max_crashes=self._parts.max_crashes,
        )

    def _act(self, work: _Work, state: DocumentState, decision: Decision | None) -> bool:
        """Draft what was decided; False when it must wait for room and be decided again."""
        writer, now = self._parts.writer, work.now
        match decision:
            case None:
                return True
            case Wait():
                if decision.until is not None:
                    self._backlog.wait(state.document_id, state.requests[0].queued.priority, decision.until)
                return True
            case Start():
                return self._start(work, state, decision)
            case Remove():
                state = self._supersede(work, state, decision.superseded)
                state = work.turn.add(state, writer.removed(state, decision.request, now))
            case Skip():
                event = writer.skipped(state, decision.request, now, reason=decision.reason)
                state = work.turn.add(state, event)
            case Cancel():
                state = work.turn.add(state, writer.cancelled(state, decision.request, now))
            case GiveUp():
                event_failed = writer.gave_up(state, decision.request, now, crashes=decision.crashes)
                state = work.turn.add(state, event_failed)
        self._offer_again(state)
        return True

    def _start(self, work: _Work, state: DocumentState, start: Start) -> bool:
        if not self._parts.workload.admit(alone=start.is_suspect):
            return False
        state = self._supersede(work, state, start.superseded)
        event = self._parts.writer.started(state, start.request, work.now, parameters=self._parts.parameters)
        state = work.turn.add(state, event)
        attempt = Attempt(request=start.request.queued, live=state.live, attempt=event.attempt)
        work.started.append(_Started(event, attempt))
        self._busy.add(state.document_id)
        return True

    def _supersede(self, work: _Work, state: DocumentState, superseded: Sequence[OpenRequest]) -> DocumentState:
        for request in superseded:
            event = self._parts.writer.skipped(state, request, work.now, reason=SkipReason.SUPERSEDED)
            state = work.turn.add(state, event)
        return state

    def _leave(self, flight: _Flight) -> None:
        if not flight.is_over:
            flight.is_over = True
            self._parts.workload.leave()

    # -- the commit

    def _commit(self, work: _Work) -> None:
        fault, turn = self._parts.fault, work.turn
        try:
            # (1) what the append refers to is durable
            fault("before sync")
            self._parts.artifacts.sync()
            fault("artifacts synced")
            # (2) one atomic append
            end = self._parts.log.append(self._number, turn.drafts)
        except BaseException:
            for _ in work.started:
                self._parts.workload.leave()
            raise
        fault("appended")
        # (3) memory
        self._remember(work, end.offset(self._tp))
        fault("memory updated")
        # (4) the newly started begin
        for started in work.started:
            self._parts.begin(started.event.meta.event_id, started.attempt)
        fault("begun")

    def _remember(self, work: _Work, end_offset: int) -> None:
        events = work.turn.events
        first_offset = end_offset - len(events)
        offsets = range(first_offset, end_offset)
        self._overlay.fold(zip(offsets, events, strict=True), work.turn.states_before)
        self._intake.accept()
        for event in events:
            self._loaded.pop(event.document_id, None)
            if isinstance(event, DocumentQueued):
                self._backlog.taken(event.priority)
        for started_id in work.landed:
            flight = self._flights.pop(started_id)
            self._busy.discard(flight.document_id)
            self._leave(flight)
            self._offer_again(self._overlay.state(flight.document_id))
        self._parts.written(events)
        for started in work.started:
            event = started.event
            self._flights[event.meta.event_id] = _Flight(event.document_id, event.request_id, self._parts.monotonic())

    def _offer_again(self, state: DocumentState | None) -> None:
        """A document that is free and has more open requests is worth deciding on."""
        if state is not None and state.requests:
            self._backlog.come_back(state.document_id, state.requests[0].queued.priority)

    # -- states

    def _states_of(self, document_ids: Sequence[DocumentId]) -> Mapping[DocumentId, DocumentState]:
        return self._overlay.states(document_ids)

    def _load(self, document_ids: Sequence[DocumentId]) -> None:
        if document_ids and document_ids[0] not in self._loaded and self._overlay.state(document_ids[0]) is None:
            self._loaded = self._overlay.states(document_ids)

    def _state_of(self, document_id: DocumentId, turn: Turn) -> DocumentState:
        state = turn.state(document_id) or self._overlay.state(document_id) or self._loaded.get(document_id)
        return state or self._overlay.states([document_id])[document_id]
