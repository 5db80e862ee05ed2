"""Work in the embedded engine: one slot, its attempts, the jobs' bookkeeper, and the planners of its jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from projections.job_entries import JobState
from refold.engine import Engine
from refold.planning import Planning
from schemas.errors import UsageError
from schemas.ids import EventId, JobId
from streams.job import Job, requests_in_log
from streams.plan import PlanRules
from streams.publisher import Publisher
from streams.slot import Slot
from streams.worker import SlotWorker

IDS_PAGE = 10_000


class EmbeddedWork:
    """Begins with the construction: the slot is taken, and jobs that were interrupted go on.

    Args:
        engine: The engine it works for.
        worker: The slot's thread, not started.
        slot: The slot, whose parts name the worker's `begin`.
        publisher: Asks the log for what plans say.
        is_cancelled: Whether people have cancelled a job.
        close_attempts: Ends the pool.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        worker: SlotWorker,
        slot: Slot,
        publisher: Publisher,
        is_cancelled: Callable[[JobId], bool],
        close_attempts: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._publisher = publisher
        self._is_cancelled = is_cancelled
        self._close_attempts = close_attempts
        self._plannings: dict[JobId, Planning] = {}
        self._lock = threading.Lock()
        worker.start(slot)
        self._resume_jobs()

    def plan(self, job: Job) -> Planning:
        """The planning of `job`: a new one, or the one that is under way or done."""
        with self._lock:
            planning = self._plannings.get(job.job_id)
            if planning is None:
                row = self._engine.parts.views.jobs.job(job.job_id)
                planning = self._begin(job, already=None if row is None else self._requests_of(job))
            return planning

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in work, planners' included."""
        return self._worker.is_idle and all(planning.is_over for planning in list(self._plannings.values()))

    def wake(self) -> None:
        """A reader that held starts back has caught up."""
        self._worker.wake()

    def stop(self) -> None:
        """Stop planning, finish or release what is in work, and end the pool."""
        with self._lock:
            for planning in self._plannings.values():
                planning.stop()
        self._worker.stop()
        self._close_attempts()

    def _resume_jobs(self) -> None:
        rows, _ = self._engine.parts.views.jobs.unfinished()
        for row in rows:
            if row.plan is not None or row.submitted_at is None:
                continue
            job = _job_of(row)
            try:
                self._begin(job, already=self._requests_of(job))
            except UsageError:
                continue  # its source is away: it waits unplanned, and `refold jobs list` shows it

    def _begin(self, job: Job, *, already: Iterator[EventId] | None) -> Planning:
        # What the last job has completed must be known, or it would be read again.
        self._engine.wait_for(self._engine.end(), ["manifest"])
        planning = Planning(
            job,
            planner=self._engine.parts.planner,
            publisher=self._publisher,
            already=already,
            is_cancelled=lambda: self._is_cancelled(job.job_id),
            may_publish=self._engine.may_start,
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


def _job_of(row: JobState) -> Job:
    parameters: Mapping[str, str] = row.parameters
    return Job(
        job_id=row.job_id,
        sources=row.sources,
        rules=PlanRules.from_parameters(row.mode, parameters),
        priority=row.priority,
        settings_fingerprint=row.settings_fingerprint,
        parameters=parameters,
    )
