"""The plannings of this process that are under way: one per job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from projections.job_entries import JobState
from refold.engine import Engine
from refold.planning import Planning
from refold.unfinished_jobs import job_of_row
from schemas.ids import EventId, JobId
from streams.job import Job, requests_in_log
from streams.publisher import Publisher


class Plannings:
    """Plans jobs, each in a thread of its own. Thread-safe.

    Args:
        engine: Whose log, views and planner are used.
        publisher: Asks the log for what plans say.
        is_cancelled: Whether people have cancelled a job.
    """

    def __init__(self, engine: Engine, *, publisher: Publisher, is_cancelled: Callable[[JobId], bool]) -> None:
        self._engine = engine
        self._publisher = publisher
        self._is_cancelled = is_cancelled
        self._plannings: dict[JobId, Planning] = {}
        self._lock = threading.Lock()

    def plan(self, job: Job) -> Planning:
        """The planning of `job`: the one that is under way, or a new one, which asks for nothing twice.

        It is left by whoever does not wait for its end, and goes on as long as one who has asked for it has not left.
        """
        with self._lock:
            planning = self._planning_of(job)
            planning.join()
            return planning

    def _planning_of(self, job: Job) -> Planning:
        self._drop_ended(job.job_id)
        planning = self._plannings.get(job.job_id)
        if planning is None:
            row = self._engine.parts.views.jobs.job(job.job_id)
            planning = self._begin(job, already=None if row is None else self._requests_of(job))
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
        return all(planning.is_over for planning in list(self._plannings.values()))

    def wake(self) -> None:
        """Nothing waits here for readers but planners, which look by themselves."""

    def stop(self) -> None:
        """End all of them before their next batches."""
        with self._lock:
            for planning in self._plannings.values():
                planning.stop()

    def _drop_ended(self, job_id: JobId) -> None:
        """Forget plannings that are over, and the one of `job_id` if it was left: that job is planned again."""
        left = self._plannings.get(job_id)
        if left is not None and left.is_left:
            left.stop()
        self._plannings = {job: planning for job, planning in self._plannings.items() if not planning.is_over}

    def _begin(self, job: Job, *, already: Iterator[EventId] | None) -> Planning:
        # What the last job has completed must be known, or it would be read again.
        self._engine.wait_for(self._engine.end(), ["manifest"])
        planning = Planning(
            job,
            planner=self._engine.parts.planner,
            publisher=self._publisher,
            already=already,
            is_cancelled=lambda: self._is_cancelled(job.job_id),
            may_publish=lambda: job.job_id not in self._engine.held_jobs(),
        )
        self._plannings[job.job_id] = planning
        planning.start()
        return planning

    def _requests_of(self, job: Job) -> Iterator[EventId]:
        return requests_in_log(self._engine.parts.log, job.job_id, taken=self._taken)

    def _taken(self, job_id: JobId) -> Iterator[EventId]:
        log = self._engine.parts.log
        self._engine.wait_for(log.end(log.partitions("documents")), ["jobs"])
        yield from self._engine.parts.views.jobs.request_ids(job_id)
