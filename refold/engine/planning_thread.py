"""One job planned in a thread of its own: its sources are scanned, and what they ask for goes into the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from schemas.errors import FatalError, RefoldError
from schemas.ids import EventId
from streams.planning.job import Job
from streams.planning.planner import Planner
from streams.planning.publication import Published
from streams.planning.publisher import Gate, Permission, Publisher
from streams.source import Source

GATE_POLL_S = 0.05
"""How often a planner that is held back asks again."""


class PlanningThread:
    """Plans one job and publishes its requests; `error` says why it ended early, `published` what it asked for.

    Args:
        job: What is planned.
        sources: The job's sources, opened.
        already: For a job that goes on: the requests that are in the log; None submits the job.
        is_cancelled: Whether people have cancelled the job.
        may_publish: Whether the job's readers are near enough to the end.
    """

    def __init__(
        self,
        job: Job,
        sources: Sequence[Source],
        *,
        planner: Planner,
        publisher: Publisher,
        already: Iterable[EventId] | None,
        is_cancelled: Callable[[], bool],
        may_publish: Callable[[], bool],
    ) -> None:
        self.job = job
        self.error: RefoldError | None = None
        self.published: Published | None = None
        self._sources = sources
        self._planner = planner
        self._publisher = publisher
        self._already = already
        self._is_cancelled = is_cancelled
        self._may_publish = may_publish
        self._stopping = threading.Event()
        self._followers = 0
        self._followers_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"planner-{job.job_id[:8]}", daemon=True)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.published is not None or self.error is not None

    @property
    def is_left(self) -> bool:
        """Whether it was told to end before its time."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End before the next batch: the job stays unplanned and is planned again when somebody works on the folder."""
        self._stopping.set()
        self._thread.join()

    def join(self) -> None:
        """Be one of those who follow it."""
        with self._followers_lock:
            self._followers += 1

    def leave(self) -> None:
        """Be that no more: it ends before its next batch, without being waited for, once nobody follows it."""
        with self._followers_lock:
            self._followers -= 1
            if self._followers <= 0:
                self._stopping.set()

    def _run(self) -> None:
        gate: Gate = self._permission
        adapters = list(dict.fromkeys(source.name for source in self._sources))
        try:
            plan = self._planner.plan(self._sources, self.job.rules)
            self.published = self._publisher.publish(
                self.job, plan, adapters=adapters, gate=gate, already=self._already
            )
        except RefoldError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - whoever waits for the job must be told, of a panic too
            self.error = FatalError(f"planning stopped: {error!r}", op="plan", hint="this is a bug; please report it")

    def _permission(self) -> Permission:
        while True:
            if self._stopping.is_set():
                return Permission.SHUTDOWN
            if self._is_cancelled():
                return Permission.CANCELLED
            if self._may_publish():
                return Permission.GO_ON
            self._stopping.wait(GATE_POLL_S)
