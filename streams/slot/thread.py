"""The thread a slot lives in, and the bridge to the event loop where its attempts run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from schemas.errors import FatalError, RefoldError, TransientError
from schemas.events import ErrorClass, ReleaseReason, Stage
from schemas.ids import EventId
from schemas.positions import Position
from streams.log import EventLog, Fenced, UnknownOutcome
from streams.process_log import ProcessLogger
from streams.slot.attempt import Attempt, AttemptFailed, AttemptOutcome, Attempts
from streams.slot.slot import Slot

LINGER_S = 0.025
"""Pause after each commit: at 250 documents/s six then share a commit, and 25 ms go unnoticed."""

IDLE_S = 1.0
"""The longest sleep of an idle slot; then it looks at the clock and the log without being woken."""

RETAKE_S = 1.0
"""Pause before a slot is taken back from a process that still holds it: time for that one to learn of the change."""

STOP_DEADLINE_S = 10.0
"""At shutdown, running attempts may finish for this long; the rest is released."""

RELEASE_TRIES = 5
"""How often the release at the end is tried again when commits fail: some seconds."""

ActedT = TypeVar("ActedT")

_log = ProcessLogger(__name__)


class SlotThread:
    """Runs one slot in a thread of its own until it is stopped or fails; the slot's methods are called there.

    Attempts run on `loop`. The slot is taken again after an unknown outcome, and after a fence or a transient error
    while `is_assigned` says that it belongs to this process; running attempts are cancelled then. Any other FatalError
    ends the thread, stays in `error` and is passed to `on_failure`.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        attempts: Attempts,
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[RefoldError], None] = lambda _: None,
        linger_s: float = LINGER_S,
        is_assigned: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._attempts = attempts
        self._loop = loop
        self._on_failure = on_failure
        self._linger_s = linger_s
        self._is_assigned = is_assigned
        self._slot: Slot | None = None
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._deadline_s = STOP_DEADLINE_S
        self._is_idle = False
        self._is_owned = self._was_owned = False
        self._running: set[asyncio.Task[None]] = set()
        self._threads: list[threading.Thread] = []
        self._monotonic = monotonic
        self._turned_at_s = monotonic()
        self.error: RefoldError | None = None

    def start(self, slot: Slot) -> None:
        """Own `slot` and begin to work; its parts must name this thread's `begin`."""
        self._slot = slot
        self._threads = [
            threading.Thread(target=self._work, name="slot", daemon=True),
            threading.Thread(target=self._watch, name="slot-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, started_id: EventId, attempt: Attempt) -> None:
        """Run `attempt` on the event loop and hand its outcome to the slot."""
        self._loop.call_soon_threadsafe(self._begin, started_id, attempt)

    def wake(self) -> None:
        """Have the slot look again because of something outside the log, such as a reader that has caught up."""
        self._wakeup.set()

    @property
    def is_idle(self) -> bool:
        """True when no attempt is running and the last turn found nothing to start."""
        return self._is_idle

    @property
    def silent_s(self) -> float:
        """Seconds since its last turn began, which should not exceed `IDLE_S` by much; 0 once it has ended."""
        return 0.0 if self._stopped.is_set() or self._stopping.is_set() else self._monotonic() - self._turned_at_s

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Let running attempts finish until the deadline, release the rest, and end; blocks, idempotent."""
        self._deadline_s = deadline_s
        self._stopping.set()
        self._wakeup.set()
        for thread in self._threads:
            thread.join()

    # -- the committer thread

    def _work(self) -> None:
        slot = self._slot
        assert slot is not None  # noqa: S101 - start() has set it
        try:
            self._take_turns(slot)
            self._drain(slot)
        except RefoldError as error:
            self._fail(error)
        except BaseException as error:  # a bug ends the thread loudly instead of leaving a silent process
            self._fail(FatalError(f"the slot stopped: {error!r}", op="turn", hint="this is a bug; please report it"))
            raise
        finally:
            self._stopped.set()  # first, so that the watching thread ends even if the next lines fail
            self._log.wake()
            with contextlib.suppress(RuntimeError):  # the loop is closed and no longer runs anything
                self._loop.call_soon_threadsafe(self._cancel_running)
            slot.close()

    def _take_turns(self, slot: Slot) -> None:
        while not self._stopping.is_set() and self.error is None:
            self._wakeup.clear()
            self._turned_at_s = self._monotonic()
            did_something = self._owning(slot, slot.take_turn)
            self._is_idle = did_something is False and not slot.in_flight
            if did_something is None:
                continue
            if did_something:
                self._stopping.wait(self._linger_s)
            else:
                self._wakeup.wait(self._sleep_s(slot))

    def _owning(self, slot: Slot, act: Callable[[], ActedT]) -> ActedT | None:
        """The result of `act`, once the slot is owned; None if the slot was lost and has to be taken again first."""
        try:
            if not self._is_owned:
                self._loop.call_soon_threadsafe(self._cancel_running)
                slot.own()
                self._is_owned = self._was_owned = True
            return act()
        except UnknownOutcome as error:
            _log.warning("commit outcome unknown, folding again", error=str(error))
            self._is_owned = False
        except (Fenced, TransientError) as error:
            is_draining = self._stopping.is_set() and not isinstance(error, Fenced)
            if not (is_draining or self._is_assigned()):
                raise
            _log.warning("the slot was lost while it is this process's, taking it again", error=str(error))
            self._is_owned = False
            (self._stopped if is_draining else self._stopping).wait(RETAKE_S)
        return None

    def _drain(self, slot: Slot) -> None:
        """Let running attempts land until the deadline and release the rest, even if the first commits fail."""
        if not self._was_owned:
            return  # nothing was begun, and somebody else may own it by now
        slot.drain()
        deadline_s = time.monotonic() + self._deadline_s
        while slot.in_flight and self._is_owned and time.monotonic() < deadline_s and self.error is None:
            self._wakeup.wait(0.05)
            self._wakeup.clear()
            self._owning(slot, slot.take_turn)
        for _ in range(RELEASE_TRIES):
            if self._owning(slot, lambda: slot.release(ReleaseReason.SHUTDOWN)):
                return
        raise FatalError("what was in work could not be released", op="release", hint="see the log's warnings")

    def _sleep_s(self, slot: Slot) -> float:
        due = slot.next_due()
        if due is None:
            return IDLE_S
        return max(0.0, min(IDLE_S, (due - datetime.now(UTC)).total_seconds()))

    def _fail(self, error: RefoldError) -> None:
        if self.error is None:
            self.error = error
            self._on_failure(error)
        self._wakeup.set()

    # -- the watching thread

    def _watch(self) -> None:
        assert self._slot is not None  # noqa: S101 - start() has set it
        partitions, known = self._slot.reads, Position()
        while not self._stopped.is_set():
            try:
                self._log.wait_beyond(partitions, known, IDLE_S)
                end = self._log.end(partitions)
            except TransientError as error:
                _log.warning("the log cannot be watched now", error=str(error))
                self._stopped.wait(RETAKE_S)
                continue
            except RefoldError as error:
                self._fail(error)
                return
            if end != known:
                known = end
                self._wakeup.set()

    # -- the event loop

    def _begin(self, started_id: EventId, attempt: Attempt) -> None:
        task = self._loop.create_task(self._run(started_id, attempt))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, started_id: EventId, attempt: Attempt) -> None:
        assert self._slot is not None  # noqa: S101 - start() has set it
        # Run the attempt: whatever it meets is an outcome, but for what must stop the slot or was cancelled.
        began_s = self._loop.time()
        try:
            outcome: AttemptOutcome = await self._attempts.run(attempt)
        except FatalError as error:
            self._fail(error)
            return
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            self._slot.finished(started_id, None)
            self._wakeup.set()
            raise
        except BaseException as error:  # noqa: BLE001 - one document must not stop the others
            _log.exception("attempt failed unexpectedly", document_id=attempt.request.document_id)
            outcome = AttemptFailed(
                stage=Stage.UNKNOWN,
                stages=(),
                error_class=ErrorClass.PERMANENT,
                error_code="internal_error",
                message=f"{type(error).__name__}: {error}",
                hint="this is a bug; please report it with the process's log",
            )
        # Hand the outcome to the slot, and wake it to commit.
        self._slot.finished(started_id, outcome)
        _log.info(
            "attempt ended",
            document_id=attempt.request.document_id,
            job_id=attempt.request.meta.job_id,
            attempt=attempt.attempt,
            status=type(outcome).__name__,
            stage=getattr(outcome, "stage", None),
            error_code=getattr(outcome, "error_code", None),
            duration_ms=int((self._loop.time() - began_s) * 1000),
        )
        self._wakeup.set()

    def _cancel_running(self) -> None:
        for task in list(self._running):
            task.cancel()
