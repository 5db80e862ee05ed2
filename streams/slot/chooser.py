"""Which documents a turn acts on: starts while there is room, and answers that need no work whether there is or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from schemas.events import DocumentEvent, DocumentQueued, SkipReason
from schemas.ids import DocumentId
from streams.documents.state import DocumentState, OpenRequest
from streams.slot.attempt import Attempt
from streams.slot.backlog import Backlog, WeightedScheduler
from streams.slot.decide import Cancel, Decision, GiveUp, Remove, Skip, Start, Wait, decide
from streams.slot.flights import Flights
from streams.slot.followed_jobs import FollowedJobs
from streams.slot.overlay import Overlay
from streams.slot.parts import SlotParts
from streams.slot.turn import Turn
from streams.slot.workload import Entrance

CHOICES_PER_TURN = 500
"""Documents decided on per commit while there is room: a few milliseconds of folding."""

LOOKS_PER_TURN = 1_000
"""Documents looked at per commit while there is none: as many as are taken in at a time, so that it keeps up."""

LOOK_AHEAD = 64
"""Documents whose states are loaded together when one is chosen."""


class Chooser:
    """Decides on a slot's open requests, turn by turn, and drafts what they come to.

    A document that may not start now (the workload is full, a suspect waits, its job's reader is behind) keeps its
    place; removals, skips, cancellations and those given up never wait for any of that.
    """

    def __init__(
        self, parts: SlotParts, partition: int, overlay: Overlay, *, flights: Flights, entrance: Entrance
    ) -> None:
        self._parts = parts
        self._partition = partition
        self._overlay = overlay
        self._flights = flights
        self._entrance = entrance
        self._jobs = FollowedJobs(parts.log)
        self._scheduler = WeightedScheduler()
        self._backlog = Backlog(parts.states, overlay, partition)
        self._suspect: DocumentId | None = None  # waits until nothing else is running

    def begin(self) -> None:
        """The slot was taken: begin at the oldest open request, knowing all that was said of jobs."""
        self._backlog = Backlog(self._parts.states, self._overlay, self._partition)
        self._suspect = None
        self._entrance.rest()
        self._jobs.follow()

    def follow_jobs(self) -> None:
        """Learn what was said of jobs since the last turn, and which readers are behind."""
        if self._jobs.follow():
            self._backlog.rescan()
            self._backlog.look_again()
        if self._jobs.hold(self._parts.held_jobs()):
            self._backlog.rescan()

    def choose(self, turn: Turn) -> bool:
        """Draft what can be done now; whether there may be more to answer although nothing more can start."""
        self._choose_suspect(turn)
        if not self._start(turn):
            return False
        self._answer(turn)
        return self._backlog.has_unseen

    def stand_back(self) -> None:
        """Nothing is chosen now: other slots need not wait for this one."""
        self._entrance.rest()

    def remember(self, turn: Turn) -> None:
        """`turn` is in the log, and in the overlay."""
        for event in turn.events:
            if isinstance(event, DocumentQueued):
                self._backlog.taken(event.document_id, event.priority)

    def offer_again(self, state: DocumentState | None) -> None:
        """A document that is free and has more open requests is worth deciding on."""
        if state is not None and state.requests:
            self._backlog.come_back(state.document_id, state.requests[0].queued.priority)

    def next_due(self) -> datetime | None:
        """When a waiting retry becomes due, or None."""
        return self._backlog.next_due()

    # -- who is decided on

    def _choose_suspect(self, turn: Turn) -> None:
        """The suspect that waits is first: it closes the door to all others, in every slot of the process."""
        if self._suspect is None:
            return
        document_id, self._suspect = self._suspect, None
        if self._is_free(document_id, turn):
            self._decide_and_act(turn, document_id)
        if self._suspect is None:
            self._entrance.rest()

    def _start(self, turn: Turn) -> bool:
        """Act on the next documents while there is room; whether others were passed over."""
        for _ in range(CHOICES_PER_TURN):
            waiting = self._backlog.waiting(turn.now, self._jobs.without_starts)
            if not waiting:
                self._rest()
                return bool(self._jobs.held)
            if not self._entrance.has_room():
                return True
            priority = self._scheduler.choose(waiting)
            ahead = self._backlog.ahead(priority, LOOK_AHEAD)
            if not self._overlay.is_at_hand(ahead[0]):
                self._overlay.prefetch(ahead)
            document_id = self._backlog.pop(priority)
            if self._is_free(document_id, turn) and not self._decide_and_act(turn, document_id):
                self._backlog.put_back(document_id, priority)
                return True
        return False

    def _rest(self) -> None:
        """Nothing may be chosen that could be started, but for a suspect that waits."""
        if self._suspect is None:
            self._entrance.rest()
        if not self._jobs.held:
            self._backlog.seen_all()

    def _answer(self, turn: Turn) -> None:
        """Answer what needs no work, although nothing may start."""
        documents = self._backlog.unseen(LOOKS_PER_TURN, self._jobs.paused)
        self._overlay.prefetch(documents)
        for document_id in documents:
            if self._is_free(document_id, turn):
                state = self._state_of(document_id, turn)
                decision = self._decide(state, turn)
                if isinstance(decision, Start) and decision.is_suspect and self._suspect is None:
                    self._draft_start(turn, state, decision)  # if it may not, it closes the door, so that it soon may
                elif not isinstance(decision, Start | Wait):
                    self._draft_answer(turn, state, decision)

    def _is_free(self, document_id: DocumentId, turn: Turn) -> bool:
        """Whether no attempt is at work on it; if one is, it comes back when that has landed."""
        return document_id not in self._flights.busy and document_id not in turn.starting

    def _state_of(self, document_id: DocumentId, turn: Turn) -> DocumentState:
        return turn.state(document_id) or self._overlay.latest(document_id)

    # -- what is done with it

    def _decide(self, state: DocumentState, turn: Turn) -> Decision | None:
        return decide(
            state,
            now=turn.now,
            parameters=self._parts.parameters,
            paused_jobs=self._jobs.paused,
            cancelled_jobs=self._jobs.cancelled,
            held_jobs=self._jobs.held,
            max_crashes=self._parts.max_crashes,
        )

    def _decide_and_act(self, turn: Turn, document_id: DocumentId) -> bool:
        """Draft what is decided; False when it must wait for room and be decided again."""
        state = self._state_of(document_id, turn)
        decision = self._decide(state, turn)
        match decision:
            case Start():
                return self._draft_start(turn, state, decision)
            case Wait():
                if decision.until is not None:
                    self._backlog.wait(document_id, state.requests[0].queued.priority, decision.until)
            case _:
                self._draft_answer(turn, state, decision)
        return True

    def _draft_answer(self, turn: Turn, state: DocumentState, decision: Remove | Skip | Cancel | GiveUp | None) -> None:
        writer, now = self._parts.writer, turn.now
        match decision:
            case None:
                return
            case Remove():
                state = self._supersede(turn, state, decision.superseded)
                event: DocumentEvent = writer.removed(state, decision.request, now)
            case Skip():
                event = writer.skipped(state, decision.request, now, reason=decision.reason)
            case Cancel():
                event = writer.cancelled(state, decision.request, now)
            case GiveUp():
                event = writer.gave_up(state, decision.request, now, crashes=decision.crashes)
        self.offer_again(turn.add(state, event))

    def _draft_start(self, turn: Turn, state: DocumentState, start: Start) -> bool:
        if not self._entrance.admit(alone=start.is_suspect):
            if start.is_suspect:
                self._suspect = state.document_id
            return False
        state = self._supersede(turn, state, start.superseded)
        event = self._parts.writer.started(state, start.request, turn.now, parameters=self._parts.parameters)
        state = turn.add(state, event)
        turn.start(event, Attempt(request=start.request.queued, live=state.live, attempt=event.attempt))
        return True

    def _supersede(self, turn: Turn, state: DocumentState, superseded: Sequence[OpenRequest]) -> DocumentState:
        for request in superseded:
            event = self._parts.writer.skipped(state, request, turn.now, reason=SkipReason.SUPERSEDED)
            state = turn.add(state, event)
        return state
