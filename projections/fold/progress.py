"""How far a runner is and how it is doing: said by its thread, asked by all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Condition

from schemas.positions import Position


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


class Progress:
    """What a runner says of itself; thread-safe.

    Args:
        clock: The time in UTC.
        monotonic: Seconds that only grow.
    """

    def __init__(self, *, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._changed = Condition()
        self._waiting_count = 0
        self._reached: Position | None = None
        self._read_event_at: datetime | None = None
        self._at_head_at: datetime | None = None
        self._heartbeat_at: datetime | None = None
        self._heartbeat_s = monotonic()
        self._error: Exception | None = None
        self._is_stopped = False

    @property
    def reached(self) -> Position | None:
        """How far the view is; None before anything was noted."""
        return self._reached

    @property
    def error(self) -> Exception | None:
        """What has stopped the runner, or what it is trying again."""
        with self._changed:
            return self._error

    @property
    def stop_error(self) -> Exception | None:
        """What has stopped the runner; None while it follows the log."""
        with self._changed:
            return self._error if self._is_stopped else None

    @property
    def silent_s(self) -> float:
        """For how long it has not gone round, though it should several times a second, except in one long batch."""
        with self._changed:
            return 0.0 if self._is_stopped else self._monotonic() - self._heartbeat_s

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for a position."""
        return self._waiting_count > 0

    def begin(self) -> None:
        """The runner starts: until it was at the head, its lag counts from now."""
        with self._changed:
            self._at_head_at = self._clock()
            self._beat()

    def note(
        self,
        *,
        reached: Position | None,
        read_event_at: datetime | None,
        is_at_head: bool = False,
        error: Exception | None = None,
    ) -> None:
        """The runner has gone round; where it has `reached` None, the view is where it was."""
        with self._changed:
            self._reached = reached if reached is not None else self._reached
            self._read_event_at = read_event_at
            self._beat()
            self._at_head_at = self._heartbeat_at if is_at_head else self._at_head_at
            self._error = error
            self._changed.notify_all()

    def end(self, *, reached: Position | None, error: Exception | None) -> None:
        """The runner has stopped, for `error` if there is one."""
        with self._changed:
            self._is_stopped = True
            self._error = error
            self._reached = reached if reached is not None else self._reached
            self._changed.notify_all()

    def pause(self, seconds: float, *, unless: Callable[[], bool]) -> None:
        """Let time pass, cut short once a caller waits for a position, or by `interrupt` where `unless` holds."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_awaited or unless(), seconds)
            self._beat()

    def interrupt(self) -> None:
        """Have a pause look whether it is over."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, wanted: Position, timeout_s: float) -> bool:
        """Whether the view has reached `wanted`, waiting up to `timeout_s`; see `Runner.wait_for`."""

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

    def status(self, name: str, *, position: Position, head: Position) -> ProjectionStatus:
        """All of it, of the projection `name`, whose view is at `position` while its topics end at `head`."""
        lag_events = sum(max(offset - position.offset(tp), 0) for tp, offset in head.items())
        with self._changed:
            return ProjectionStatus(
                name=name,
                position=position,
                head=head,
                lag_events=lag_events,
                lag_s=self._lag_s() if lag_events else 0.0,
                heartbeat_at=self._heartbeat_at,
                error=self._error,
                is_stopped=self._is_stopped,
            )

    def _beat(self) -> None:
        self._heartbeat_at, self._heartbeat_s = self._clock(), self._monotonic()

    def _lag_s(self) -> float:
        since = [moment for moment in (self._at_head_at, self._read_event_at) if moment is not None]
        return max((self._clock() - max(since)).total_seconds(), 0.0) if since else 0.0
