"""A slot at work: one partition of requests, answered.

The order of a commit, one append per turn (told the same way in ``ops/architecture.md`` and the runbooks):

1. artifacts synced: what the append will refer to is durable,
2. one atomic append: intake's DocumentQueued, finished answers, failures, and the next DocumentStarted,
3. memory updated: overlay, intake offset, backlog,
4. the newly started begin.

A crash before (2) leaves nothing but unreferenced artifacts; between (2) and (4) it leaves open starts, which count as
crashes of their documents; never a lost or a doubled answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from schemas.events import ReleaseReason
from schemas.ids import DocumentId, EventId
from schemas.positions import Position, TopicPartition
from streams.documents.state import DocumentState
from streams.log import SlotNumber
from streams.slot.attempt import AttemptOutcome
from streams.slot.chooser import Chooser
from streams.slot.flights import Flights
from streams.slot.intake import Intake
from streams.slot.overlay import Overlay
from streams.slot.parts import SlotParts
from streams.slot.turn import Turn


class Slot:
    """Owns one slot of the log. All methods but `finished` are called from one thread, the slot's committer."""

    def __init__(self, number: int, parts: SlotParts) -> None:
        self._number = SlotNumber(number)
        self._parts = parts
        self._tp = TopicPartition("documents", number)
        self._overlay = Overlay(parts.states, number, limit=parts.overlay_limit)
        self._entrance = parts.workload.entrance(parts.wake)
        self._flights = Flights(self._entrance)
        self._is_draining = False
        self._intake = Intake(
            parts.log, parts.artifacts, self._overlay, partition=number, pipeline_id=parts.writer.pipeline_id
        )
        self._chooser = Chooser(parts, number, self._overlay, flights=self._flights, entrance=self._entrance)

    @property
    def in_flight(self) -> int:
        """How many attempts are running."""
        return len(self._flights)

    @property
    def reads(self) -> Sequence[TopicPartition]:
        """The partitions in which this slot finds its work."""
        return [TopicPartition("requests", self._number), *self._parts.log.partitions("jobs")]

    @property
    def seen(self) -> Position:
        """How far requests were taken in."""
        return self._intake.seen

    def own(self) -> None:
        """Take the slot: forget everything, fold the log, release what this very process had started before.

        Running attempts belong to an ownership that is over: the caller cancels them, their outcomes are ignored, and
        their documents start again only once `finished` has reported their end. The caller holds the lock or the
        assignment; the manifest is near the end (`Overlay.is_full` says when not).
        """
        self._parts.log.own(self._number)
        self._flights.leave_behind()
        self._overlay.load(self._parts.log, self._parts.log.end([self._tp]))
        self._intake.start()
        self._chooser.begin()
        self._release_own_starts()

    def finished(self, started_id: EventId, outcome: AttemptOutcome | None) -> None:
        """The attempt that DocumentStarted `started_id` began has come to `outcome`; thread-safe.

        None means that it was cancelled and came to nothing.
        """
        self._flights.finished(started_id, outcome)

    def next_due(self) -> datetime | None:
        """When a waiting retry becomes due, or None: the latest time for the next turn."""
        return self._chooser.next_due()

    def take_turn(self) -> bool:
        """Do what can be done now in one commit; False when there was nothing, and nothing more to look at."""
        self._overlay.forget_passed(self._flights.busy)
        self._chooser.follow_jobs()
        turn = self._new_turn()
        self._land(turn)
        is_unfinished = False
        if self._overlay.is_full or self._is_draining:
            self._chooser.stand_back()
        else:
            if self._overlay.has_room_for_intake:
                self._intake.draft(turn, turn.now, self._overlay.states)
            is_unfinished = self._chooser.choose(turn)
        if not turn.drafts:
            self._intake.accept()
            return is_unfinished
        self._commit(turn)
        return True

    def drain(self) -> None:
        """Take and start nothing more; running attempts may land."""
        self._is_draining = True

    def release(self, reason: ReleaseReason) -> bool:
        """Release what is still running; outcomes that come later are ignored. True once it is done."""
        turn = self._new_turn()
        self._land(turn)
        landing = {flight.started_id for flight in turn.landed}
        for flight in self._flights:
            if flight.started_id not in landing:
                state = self._state_of(flight.document_id, turn)
                request = state.request(flight.request_id)
                if request is not None and request.started_id == flight.started_id:
                    turn.add(state, self._parts.writer.released(state, request, turn.now, reason=reason))
                    turn.landed.append(flight)
        if turn.drafts:
            self._commit(turn)
        return True

    def close(self) -> None:
        """Stop for good: what is running here no longer counts in the process's workload."""
        self._entrance.close()

    def _release_own_starts(self) -> None:
        """Release what this process started under earlier ownerships, wherever it is known: no crash of a document.

        What the manifest says comes second: the overlay's state is newer where it has one.
        """
        turn = self._new_turn()
        started = dict.fromkeys(state.document_id for state in self._overlay.open_states() if state.started)
        started |= dict.fromkeys(self._parts.states.started_documents(self._number))
        for state in self._overlay.states(list(started)).values():
            request = state.started
            if request is not None and request.started_by == self._parts.writer.pipeline_id:
                event = self._parts.writer.released(state, request, turn.now, reason=ReleaseReason.RETAKEN)
                turn.add(state, event)
        if turn.drafts:
            self._commit(turn)

    # -- what a turn consists of

    def _new_turn(self) -> Turn:
        return Turn(self._overlay.end_offset, self._parts.clock())

    def _land(self, turn: Turn) -> None:
        """Draft the answers of attempts that have finished."""
        for flight, outcome in self._flights.outcomes():
            state = self._state_of(flight.document_id, turn)
            request = state.request(flight.request_id)
            if request is None:
                continue
            duration_ms = int((self._parts.monotonic() - flight.began_s) * 1000)
            event = self._parts.writer.outcome(state, request, turn.now, outcome=outcome, duration_ms=duration_ms)
            turn.add(state, event)
            turn.landed.append(flight)
        for document_id in self._flights.freed():
            self._chooser.offer_again(self._overlay.latest(document_id))

    # -- the commit

    def _commit(self, turn: Turn) -> None:
        fault = self._parts.fault
        try:
            # (1) what the append refers to is durable
            fault("before sync")
            self._parts.artifacts.sync()
            fault("artifacts synced")
            # (2) one atomic append
            end = self._parts.log.append(self._number, turn.drafts)
        except BaseException:
            for _ in turn.started:
                self._entrance.leave()
            raise
        fault("appended")
        # (3) memory
        self._remember(turn, end.offset(self._tp))
        fault("memory updated")
        # (4) the newly started begin
        for started in turn.started:
            self._parts.begin(started.event.meta.event_id, started.attempt)
        fault("begun")

    def _remember(self, turn: Turn, end_offset: int) -> None:
        events = turn.events
        offsets = range(end_offset - len(events), end_offset)
        self._overlay.fold(zip(offsets, events, strict=True), turn.states_before)
        self._intake.accept()
        self._chooser.remember(turn)
        for flight in turn.landed:
            self._flights.landed(flight.started_id)
            self._chooser.offer_again(self._overlay.state(flight.document_id))
        self._parts.written(events)
        for started in turn.started:
            self._flights.began(started.event, self._parts.monotonic())

    def _state_of(self, document_id: DocumentId, turn: Turn) -> DocumentState:
        return turn.state(document_id) or self._overlay.latest(document_id)
