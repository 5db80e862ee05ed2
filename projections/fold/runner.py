"""The runner of a projection: keeps its view up to date, and knows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from projections.fold.follower import ONE_BY_ONE, Follower, Joining
from projections.fold.panics import error_of
from projections.fold.progress import Progress, ProjectionStatus
from projections.fold.projection import Projection
from projections.fold.view import GenerationGone, PositionConflict, View
from schemas.errors import TransientError
from schemas.positions import Position
from streams.log import EventLog

ChangeT = TypeVar("ChangeT")

POLL_S = 0.25
"""How long the runner waits for news at a time: bounds the age of a heartbeat and how long a stop takes."""

LOOK_S = 0.05
"""How often a runner that lets events gather looks whether more can come."""

QUIET_SHARE = 0.25
"""Fraction of `linger_s` to wait when nothing is in flight, so that single events still share a batch."""

RECHECK_S = 5.0
"""How often a runner at the head looks whether its view still stands there: a small query."""

RETRY_S = 0.5
"""Pause after a view could not be reached or written for now."""


class Runner(Generic[ChangeT]):
    """Keeps one view up to date, in a thread of its own.

    A view that cannot be written for now is tried again; any other error, a library's panic too, stops the runner and
    stays in its status. When another writer has moved the view, or its position was set back, the runner goes on from
    where the view stands; when another has begun it again, GenerationGone stops the runner, and the view has to be
    opened again.

    Attributes:
        progress: How far it is, for other threads.

    Args:
        log: Read to its end, then waited on.
        projection: Says what events mean.
        view: What is kept up to date.
        joining: How much is applied at a time.
        clock: The time in UTC, for heartbeat and lag.
        monotonic: Seconds that only grow, for how long changes wait.
        after_round: Called in the runner's thread whenever it has gone round, at least about every `POLL_S`.
        is_quiet: Whether no document is being processed, so that there is little to wait for.
        on_failure: Called once, in the runner's thread, with what has stopped it, before those that wait wake up.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[ChangeT],
        view: View[ChangeT, Any],
        *,
        joining: Joining = ONE_BY_ONE,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        after_round: Callable[[], object] | None = None,
        is_quiet: Callable[[], bool] = lambda: False,
        on_failure: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        self._log = log
        self._projection = projection
        self._joining = joining
        self._follower = Follower(log, projection, view, joining=joining, monotonic=monotonic)
        self._view = view
        self._monotonic = monotonic
        self._after_round = after_round
        self._is_quiet = is_quiet
        self._on_failure = on_failure
        self.progress = Progress(clock=clock, monotonic=monotonic)
        self._thread: Thread | None = None
        self._stopping = Event()
        self._has_begun = False
        self._checked_s = 0.0

    def start(self) -> None:
        """Follow the log in a thread of its own."""
        if self._thread is not None:
            raise RuntimeError(f"the runner of {self._projection.name} was started before")
        self.progress.begin()
        self._thread = Thread(target=self._run, name=f"projection-{self._projection.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Apply what was read, and end the thread; idempotent."""
        self._stopping.set()
        self.progress.interrupt()
        if self._thread is not None:
            self._log.wake()
            self._thread.join()

    def status(self) -> ProjectionStatus:
        """How it is doing now."""
        reached = self.progress.reached
        return self.progress.status(
            self._projection.name,
            position=reached if reached is not None else self._view.position(),
            head=self._log.end(self._follower.partitions),
        )

    @property
    def has_begun(self) -> bool:
        """Whether it has read on from where its view stands."""
        return self._has_begun and self.progress.reached is not None

    def wait_for(self, position: Position, timeout_s: float) -> bool:
        """Whether the view has reached `position` (its own topics of it), waiting up to `timeout_s`.

        Nothing lingers while a caller waits.

        Raises:
            RefoldError: what stopped the runner before.
        """
        return self.progress.wait_for(position.only(self._projection.topics), timeout_s)

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
        self.progress.end(reached=self._reached(), error=error)

    def _round(self) -> None:
        try:
            is_at_head = self._advance()
            self._note(is_at_head=is_at_head)
            if self._after_round is not None:
                self._after_round()
        except GenerationGone:
            raise  # it would read the whole log again and again, in vain
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
            self._note(error=self.progress.error)  # it is over when something was applied
        has_grown = self._log.wait_beyond(follower.partitions, follower.read, POLL_S)
        if has_grown:
            self._linger()
            self._read_on()
        if self.progress.is_awaited or follower.is_due:
            follower.apply()
        if not has_grown:
            self._recheck()
        return not has_grown

    def _has_to_stop(self) -> bool:
        """Whether it has to; called after each batch, and notes how far it is: a long log is read in one go."""
        self._note(error=self.progress.error)
        return self._stopping.is_set()

    def _read_on(self) -> None:
        try:
            self._follower.read_on(should_stop=self._has_to_stop)
        except TransientError:
            self._follower.apply()  # what was read: a partition that is held up does not hold up the others
            self._note(error=self.progress.error)
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
        """Wait for more events before reading, unless a caller waits for a position; less if nothing is in flight."""
        began_s = self._monotonic()
        while not self.progress.is_awaited and not self._stopping.is_set():
            linger_s = self._joining.linger_s * (QUIET_SHARE if self._is_quiet() else 1.0)
            left_s = began_s + linger_s - self._monotonic()
            if left_s <= 0:
                return
            self.progress.pause(min(left_s, LOOK_S), unless=self._stopping.is_set)

    def _note(self, *, is_at_head: bool = False, error: Exception | None = None) -> None:
        self.progress.note(
            reached=self._reached(), read_event_at=self._follower.last_occurred_at, is_at_head=is_at_head, error=error
        )

    def _reached(self) -> Position | None:
        return self._follower.reached if self._has_begun else None
