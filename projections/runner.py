"""The runner of a projection: keeps its view up to date, and knows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, Event, Thread
from typing import Any, Generic, TypeVar

from projections.follower import Follower, Joining
from projections.panics import error_of
from projections.projection import Projection
from projections.view import GenerationGone, PositionConflict, View
from schemas.errors import TransientError
from schemas.positions import Position
from streams.log import EventLog

ChangeT = TypeVar("ChangeT")

POLL_S = 0.25
"""How long the runner waits for news at a time: bounds the age of a heartbeat and how long a stop takes."""

LOOK_S = 0.05
"""How often a runner that lets events gather looks whether more can come."""

QUIET_SHARE = 0.25
"""Share of the time that events gather when nothing more is on its way: lone events are not a batch each either."""

RECHECK_S = 5.0
"""How often a runner at the head looks whether its view still stands there: a small query."""

RETRY_S = 0.5
"""Pause after a view could not be reached or written for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionStatus:
    """How a projection is doing.

    Attributes:
        name: Of the projection.
        position: How far the view is; events it does not need count as applied.
        head: The end of its topics in the log.
        lag_events: Offsets between the two.
        lag_s: 0 at the head; else the seconds since the runner was there, or since the last event it read happened,
            whichever is less.
        heartbeat_at: When the runner last went round; None before it began.
        error: Why it stopped, or what it is trying again; None while all is well.
        is_stopped: Whether it follows the log no more.
    """

    name: str
    position: Position
    head: Position
    lag_events: int
    lag_s: float
    heartbeat_at: datetime | None
    error: Exception | None
    is_stopped: bool


class Runner(Generic[ChangeT]):
    """Keeps one view up to date, in a thread of its own (`start`) or once in the caller's (`catch_up`).

    A view that cannot be written for now is tried again; any other error, a library's panic too, stops the runner and
    stays in its status. When
    another writer has moved the view, or its position was set back, the runner goes on from where the view stands; when
    another has begun it anew, GenerationGone stops the runner, and the view has to be opened again.

    Args:
        log: Read to its end, then waited on.
        projection: Says what events mean.
        view: What is kept up to date.
        joining: How much is applied at a time.
        clock: The time in UTC, for heartbeat and lag.
        monotonic: Seconds that only grow, for how long changes wait.
        after_round: Called in the runner's thread whenever it has gone round, at least about every `POLL_S`.
        is_quiet: Whether nothing is in work that will write soon, so that there is little to wait for.
        on_failure: Told once, in the runner's thread, what has stopped it, before those that wait are.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[ChangeT],
        view: View[ChangeT, Any],
        *,
        joining: Joining | None = None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        after_round: Callable[[], object] | None = None,
        is_quiet: Callable[[], bool] = lambda: False,
        on_failure: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        self._log = log
        self._projection = projection
        self._joining = joining or Joining()
        self._follower = Follower(log, projection, view, joining=self._joining, monotonic=monotonic)
        self._view = view
        self._clock = clock
        self._monotonic = monotonic
        self._after_round = after_round
        self._is_quiet = is_quiet
        self._on_failure = on_failure
        self._thread: Thread | None = None
        self._stopping = Event()
        self._has_begun = False
        self._checked_s = 0.0

        # What other threads ask for, under the condition.
        self._changed = Condition()
        self._waiting_count = 0
        self._reached: Position | None = None
        self._read_event_at: datetime | None = None
        self._at_head_at: datetime | None = None
        self._heartbeat_at: datetime | None = None
        self._heartbeat_s = monotonic()
        self._error: Exception | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Follow the log in a thread of its own."""
        if self._thread is not None:
            raise RuntimeError(f"the runner of {self._projection.name} was started before")
        self._at_head_at = self._heartbeat_at = self._clock()
        self._heartbeat_s = self._monotonic()
        self._thread = Thread(target=self._run, name=f"projection-{self._projection.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Apply what was read, and end the thread; idempotent."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._log.wake()
            self._thread.join()

    def catch_up(self) -> Position:
        """Apply everything up to where the log ends now, and return the position reached; only before `start`."""
        if self._thread is not None:
            raise RuntimeError(f"the runner of {self._projection.name} has a thread: wait_for a position instead")
        self._follower.begin()
        self._follower.read_on()
        self._follower.apply()
        self._note(is_at_head=True)
        return self._follower.reached

    def status(self) -> ProjectionStatus:
        """How it is doing now."""
        reached = self._reached if self._reached is not None else self._view.position()
        head = self._log.end(self._follower.partitions)
        lag_events = sum(max(offset - reached.offset(tp), 0) for tp, offset in head.items())
        with self._changed:
            return ProjectionStatus(
                name=self._projection.name,
                position=reached,
                head=head,
                lag_events=lag_events,
                lag_s=self._lag_s() if lag_events else 0.0,
                heartbeat_at=self._heartbeat_at,
                error=self._error,
                is_stopped=self._is_stopped,
            )

    @property
    def stop_error(self) -> Exception | None:
        """What has stopped it; None while it follows the log, whatever it tries again."""
        with self._changed:
            return self._error if self._is_stopped else None

    @property
    def trouble(self) -> Exception | None:
        """What has stopped it, or what it is trying again; None while all is well."""
        with self._changed:
            return self._error

    @property
    def silent_s(self) -> float:
        """For how long it has not gone round, though it should several times a second, but for one long batch."""
        with self._changed:
            return 0.0 if self._is_stopped else self._monotonic() - self._heartbeat_s

    @property
    def has_begun(self) -> bool:
        """Whether it has read on from where its view stands."""
        with self._changed:
            return self._reached is not None and self._has_begun

    def wait_for(self, position: Position, timeout_s: float) -> bool:
        """Whether the view has reached `position` (its own topics of it), waiting up to `timeout_s`.

        Nothing lingers while somebody waits.

        Raises:
            RefoldError: what stopped the runner before.
        """
        wanted = position.only(self._projection.topics)

        def is_reached() -> bool:
            return self._reached is not None and self._reached.reaches(wanted)

        with self._changed:
            self._waiting_count += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: is_reached() or self._is_stopped, timeout_s)
            finally:
                self._waiting_count -= 1
            if self._is_stopped and self._error is not None and not is_reached():
                raise self._error
            return is_reached()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            while not self._stopping.is_set():
                self._round()
            if self._has_begun:
                # What cannot be applied now is read again by the next runner.
                with suppress(PositionConflict, TransientError):
                    self._follower.apply()
        except Exception as exc:  # noqa: BLE001 - whatever stops a projection must be seen in its status
            error = exc
        except BaseException as exc:  # noqa: BLE001 - as above: a panic is no Exception, and a thread ends with it silently
            error = error_of(
                exc, op="follow", subject=self._projection.name, hint=f"refold rebuild {self._projection.name}"
            )
        if error is not None:
            self._on_failure(error)
        with self._changed:
            self._is_stopped = True
            self._error = error
            self._reached = self._follower.reached if self._has_begun else self._reached
            self._changed.notify_all()

    def _round(self) -> None:
        try:
            is_at_head = self._advance()
            self._note(is_at_head=is_at_head)
            if self._after_round is not None:
                self._after_round()
        except GenerationGone:
            raise  # it would read the whole log again and again, for nobody
        except PositionConflict:
            self._has_begun = False
        except TransientError as exc:
            self._has_begun = False
            self._note(error=exc)
            self._stopping.wait(RETRY_S)

    def _advance(self) -> bool:
        """Go on as far as can be seen; whether that is the end of the log."""
        follower = self._follower
        if not self._has_begun:
            follower.begin()
            self._has_begun = True
            self._checked_s = self._monotonic()
            self._note(error=self._error)  # it is over when something was applied
        has_grown = self._log.wait_beyond(follower.partitions, follower.read, POLL_S)
        if has_grown:
            self._linger()
            self._read_on()
        if self._waiting_count:
            follower.apply()
        else:
            follower.apply_if_due()
        if not has_grown:
            self._recheck()
        return not has_grown

    def _has_to_stop(self) -> bool:
        """Whether it has to; told after each batch how far it is, for a long log is read in one go."""
        self._note(error=self._error)
        return self._stopping.is_set()

    def _read_on(self) -> None:
        try:
            self._follower.read_on(should_stop=self._has_to_stop)
        except TransientError:
            self._follower.apply()  # what was read: a partition that is held up does not hold up the others
            self._note(error=self._error)
            raise

    def _recheck(self) -> None:
        """Begin again if the view was moved while there was nothing to read."""
        now_s = self._monotonic()
        if now_s - self._checked_s < RECHECK_S:
            return
        self._checked_s = now_s
        if self._follower.is_displaced:
            raise PositionConflict(op="follow", subject=self._projection.name)

    def _linger(self) -> None:
        """Let company join before it is read, unless somebody waits; and longer where more is to come."""
        began_s = self._monotonic()
        with self._changed:
            while not self._waiting_count and not self._stopping.is_set():
                linger_s = self._joining.linger_s * (QUIET_SHARE if self._is_quiet() else 1.0)
                left_s = began_s + linger_s - self._monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(min(left_s, LOOK_S))
                self._heartbeat_at, self._heartbeat_s = self._clock(), self._monotonic()

    def _note(self, *, is_at_head: bool = False, error: Exception | None = None) -> None:
        now = self._clock()
        with self._changed:
            if self._has_begun or self._thread is None:
                self._reached = self._follower.reached
            self._read_event_at = self._follower.last_occurred_at
            self._heartbeat_at, self._heartbeat_s = now, self._monotonic()
            self._at_head_at = now if is_at_head else self._at_head_at
            self._error = error
            self._changed.notify_all()

    def _lag_s(self) -> float:
        since = [moment for moment in (self._at_head_at, self._read_event_at) if moment is not None]
        return max((self._clock() - max(since)).total_seconds(), 0.0) if since else 0.0
