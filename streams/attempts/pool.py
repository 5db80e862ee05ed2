"""The processes that parse, chunk and embed: one document each at a time, and killed with it if need be.

Each process has a pipe of its own and shares no lock with the others, so that whatever kills it, at whatever moment,
ends one document and no other (`ops/decisions/0009-a-pool-of-our-own.md` tells why).
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

from schemas.errors import FatalError, MachineError
from streams.attempts.pool_process import PoolConfiguration, PoolProcess, unstartable
from streams.attempts.task import StageAnswer, StageTask
from streams.stages.failures import StageFailed


class PoolClosed(FatalError):  # noqa: N818 - a state, as in the error tree
    """The pool was closed while this was being processed."""


class StagePool:
    """Runs stage tasks in processes. Thread-safe; `run` blocks, so call it from as many threads as there are processes.

    Args:
        configuration: What the processes need to know.
        processes: How many there are.
    """

    def __init__(self, configuration: PoolConfiguration, *, processes: int) -> None:
        self.configuration = configuration
        self.processes = processes
        self._idle: queue.SimpleQueue[PoolProcess | None] = queue.SimpleQueue()  # None: one is to be started
        self._alive: set[PoolProcess] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        # The kernel's "kill me when my parent dies" means the thread that started a process, so one thread, which lives
        # as long as the pool, starts them all.
        self._launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pool-launcher")
        for _ in range(processes):
            self._idle.put(None)

    def start(self) -> None:
        """Start the processes now, without waiting for them; without this the first tasks do."""
        for _ in range(self.processes):
            process = self._idle.get()
            try:
                process = process or self._launched()
            finally:
                self._idle.put(process)

    def warm_up(self) -> None:
        """Return when every process is ready for a task; called before the first.

        Raises:
            PoolClosed: `close` was called.
            MachineError: processes cannot be started at all; the first task tries again and tells.
        """
        self.start()
        for _ in range(self.processes):
            process = self._idle.get()  # the one that has waited longest: each has its turn
            try:
                self._refuse_if_closed()
                if process is not None:
                    process.wait_until_ready()
            finally:
                self._idle.put(process)

    def run(self, task: StageTask) -> StageAnswer:
        """What the stages make of `task`; a process that dies or hangs is a failure of this document alone.

        Raises:
            PoolClosed: `close` was called.
            MachineError: processes cannot be started at all.
        """
        process = self._idle.get()
        is_sound = False
        try:
            self._refuse_if_closed()
            if process is not None and not process.is_quiet():  # it died, or says what nobody asked for
                self._end(process)
                process = None
            process = process or self._launched()
            answer = process.answer(task)
            is_sound = not answer.is_last
        except (StageFailed, MachineError) as exc:
            self._refuse_if_closed()  # closing kills, which is nobody's fault
            if not isinstance(exc, StageFailed):
                raise
            answer = StageAnswer(failure=exc)
        finally:
            self._give_back(process, is_sound=is_sound)
        return answer

    def close(self) -> None:
        """Kill every process and wait for them; callers inside `run` get PoolClosed. Idempotent."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for process in self._alive:
                process.kill()
        for _ in range(self.processes):
            idle = self._idle.get()
            if idle is not None:
                self._end(idle)
        self._idle.put(None)  # for one who still waits in `run`, who puts it back for the next
        self._launcher.shutdown()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes, to watch their memory."""
        with self._lock:
            return [process.pid for process in self._alive]

    def _launched(self) -> PoolProcess:
        with self._lock:
            self._refuse_if_closed()
            try:
                process = self._launcher.submit(PoolProcess, self.configuration).result()
            except RuntimeError as exc:  # the launcher's own thread cannot be started
                raise unstartable(str(exc)) from exc
            self._alive.add(process)
            return process

    def _give_back(self, process: PoolProcess | None, *, is_sound: bool) -> None:
        """Let the next task have `process` or its successor; whatever fails on the way, `close` waits for each."""
        kept = None
        try:
            kept = process if is_sound else self._replaced(process)
        finally:
            self._idle.put(kept)

    def _replaced(self, process: PoolProcess | None) -> PoolProcess | None:
        """A new process for one that is spent, starting while others work; None leaves it to the next task."""
        if process is not None:
            self._end(process)
        try:
            return self._launched()
        except (MachineError, PoolClosed):
            return None  # the next task tries again and tells

    def _end(self, process: PoolProcess) -> None:
        with self._lock:
            self._alive.discard(process)
        process.end()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise PoolClosed(op="run stages")
