"""The planning threads of this process: one per job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from projections.jobs.entries import JobState
from refold.engine.engine import Engine
from refold.engine.planning_thread import PlanningThread
from refold.engine.unfinished_jobs import job_of_row
from schemas.ids import EventId, JobId
from streams.planning.job import Job, requests_in_log
from streams.planning.publisher import Publisher
from streams.source import Source
from streams.sources.local.folder import FolderOptions
from streams.sources.table import open_sources


class PlanningThreads:
    """Plans jobs, each in a thread of its own; thread-safe. In a cluster this is all the work of a client.

    Args:
        engine: Whose log, views and planner are used.
        publisher: Asks the log for what plans say.
        is_cancelled: Whether people have cancelled a job.
    """

    def __init__(self, engine: Engine, *, publisher: Publisher, is_cancelled: Callable[[JobId], bool]) -> None:
        self._engine = engine
        self._publisher = publisher
        self._is_cancelled = is_cancelled
        self._threads: dict[JobId, PlanningThread] = {}
        self._lock = threading.Lock()

    def plan(self, job: Job, sources: Sequence[Source] | None = None) -> PlanningThread:
        """The thread that plans `job`: the running one, or a new one, which publishes no request twice.

        A caller that stops waiting leaves it; the thread goes on until every caller has left. A new one reads
        `sources`, which are the job's, opened; None opens them here.
        """
        with self._lock:
            planning = self._planning_of(job, sources)
            planning.join()
            return planning

    def _planning_of(self, job: Job, sources: Sequence[Source] | None = None) -> PlanningThread:
        self._drop_ended(job.job_id)
        planning = self._threads.get(job.job_id)
        if planning is None:
            row = self._engine.parts.views.jobs.job(job.job_id)
            if sources is None:
                sources = open_sources(job.sources, FolderOptions.from_parameters(job.parameters))
            planning = self._begin(job, sources, already=None if row is None else self._requests_of(job))
        return planning

    def resume(self, row: JobState) -> None:
        """Plan the job of `row` to its end, if that was cut short.

        Raises:
            UsageError: one of its sources cannot be reached from here.
        """
        if row.plan is None and row.submitted_at is not None:
            with self._lock:
                self._planning_of(job_of_row(row, self._engine.parts.location))

    @property
    def is_idle(self) -> bool:
        """Whether none is under way."""
        return all(planning.is_over for planning in list(self._threads.values()))

    def stop(self) -> None:
        """End all of them before their next batches."""
        with self._lock:
            for planning in self._threads.values():
                planning.stop()

    def _drop_ended(self, job_id: JobId) -> None:
        """Forget threads that have ended, and the one of `job_id` if everybody left it: that job is planned again."""
        left = self._threads.get(job_id)
        if left is not None and left.is_left:
            left.stop()
        self._threads = {job: planning for job, planning in self._threads.items() if not planning.is_over}

    def _begin(self, job: Job, sources: Sequence[Source], *, already: Iterator[EventId] | None) -> PlanningThread:
        # What the last job has completed must be known, or it would be read again.
        self._engine.wait_for(self._engine.end(), ["manifest"])
        planning = PlanningThread(
            job,
            sources,
            planner=self._engine.parts.planner,
            publisher=self._publisher,
            already=already,
            is_cancelled=lambda: self._is_cancelled(job.job_id),
            may_publish=lambda: job.job_id not in self._engine.readers.held_jobs(),
        )
        self._threads[job.job_id] = planning
        planning.start()
        return planning

    def _requests_of(self, job: Job) -> Iterator[EventId]:
        return requests_in_log(self._engine.parts.log, job.job_id, taken=self._taken)

    def _taken(self, job_id: JobId) -> Iterator[EventId]:
        log = self._engine.parts.log
        self._engine.wait_for(log.end(log.partitions("documents")), ["jobs"])
        yield from self._engine.parts.views.jobs.request_ids(job_id)
