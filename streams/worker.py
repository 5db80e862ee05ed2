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
from streams.attempt import Attempt, AttemptFailed, AttemptOutcome, Attempts
from streams.log import EventLog, Fenced, UnknownOutcome
from streams.process_log import ProcessLogger
from streams.slot import Slot

LINGER_S = 0.025
"""After each commit: at 250 documents/s six then share a commit, and nobody notices 25 ms."""

IDLE_S = 1.0
"""The longest sleep of an idle slot: it looks at the clock and at the log again by itself."""

RETAKE_S = 1.0
"""Before a slot is taken again that another process took although it is this one's: the other learns meanwhile."""

STOP_DEADLINE_S = 10.0
"""Work in flight may finish for this long at shutdown; the rest is released."""

RELEASE_TRIES = 5
"""How often a slot that is given up is taken again to release what it left, should commits fail: some seconds."""

ActedT = TypeVar("ActedT")

_log = ProcessLogger(__name__)


class SlotWorker:
    """Runs one slot in its committer thread until it is stopped or fails.

    Attempts run on `loop`. After an unknown outcome the slot is taken again, and so it is after a fence or a transient
    error while `is_assigned` says that it is this process's; what is in work is cancelled then. Any other FatalError
    ends the worker, stays in `error` and is told to `on_failure`.
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
        """Own `slot` and begin to work; its parts must name this worker's `begin`."""
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
        """Something outside the log changed that the slot should look at: a reader has caught up."""
        self._wakeup.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in work and nothing could be begun when it last looked."""
        return self._is_idle

    @property
    def silent_s(self) -> float:
        """For how long it has not gone round, though it should every `IDLE_S`; 0 once it has ended."""
        return 0.0 if self._stopped.is_set() or self._stopping.is_set() else self._monotonic() - self._turned_at_s

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Let what is in work finish until the deadline, release the rest, and end; blocks, idempotent."""
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
            self._own_and_tick(slot)
            self._drain(slot)
        except RefoldError as error:
            self._fail(error)
        except BaseException as error:  # a bug ends the worker loudly instead of leaving a silent process
            self._fail(FatalError(f"the slot stopped: {error!r}", op="tick", hint="this is a bug; please report it"))
            raise
        finally:
            self._stopped.set()  # first: the watching thread ends, and whoever waits for both, whatever comes after it
            self._log.wake()
            with contextlib.suppress(RuntimeError):  # the loop is closed, and runs nothing any more
                self._loop.call_soon_threadsafe(self._cancel_running)
            slot.close()

    def _own_and_tick(self, slot: Slot) -> None:
        while not self._stopping.is_set() and self.error is None:
            self._wakeup.clear()
            self._turned_at_s = self._monotonic()
            did_something = self._owning(slot, slot.tick)
            self._is_idle = did_something is False and not slot.in_flight
            if did_something is None:
                continue
            if did_something:
                self._stopping.wait(self._linger_s)
            else:
                self._wakeup.wait(self._sleep_s(slot))

    def _owning(self, slot: Slot, act: Callable[[], ActedT]) -> ActedT | None:
        """What `act` gives, once the slot is owned; None if it has to be owned anew before anything else."""
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
        """Let what is in work land until the deadline, and release the rest, whatever the first commits come to."""
        if not self._was_owned:
            return  # nothing was begun, and somebody else may own it by now
        slot.drain()
        deadline_s = time.monotonic() + self._deadline_s
        while slot.in_flight and self._is_owned and time.monotonic() < deadline_s and self.error is None:
            self._wakeup.wait(0.05)
            self._wakeup.clear()
            self._owning(slot, slot.tick)
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
            except TransientError as error:  # the slot looks by itself meanwhile, and is told more of it
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
        except BaseException as error:  # noqa: BLE001 - what one document meets must not stop the others
            _log.exception("attempt failed unexpectedly", document_id=attempt.request.document_id)
            outcome = AttemptFailed(
                stage=Stage.UNKNOWN,
                stages=(),
                error_class=ErrorClass.PERMANENT,
                error_code="internal_error",
                message=f"{type(error).__name__}: {error}",
                hint="this is a bug; please report it with the process's log",
            )
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
