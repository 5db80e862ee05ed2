"""Jobs that were begun and not finished: which of them ask for the same, and what others' requests are still open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from projections.jobs.entries import JobState, JobStatus
from refold.engine.engine import Engine, Location
from streams.planning.job import Job
from streams.planning.plan import PlanRules
from streams.source import Source
from streams.sources.local.folder import FolderOptions

_GOES_ON = (JobStatus.PLANNING, JobStatus.RUNNING)
"""A job that was paused or cancelled is not to be gone on with by another ingest."""


def job_of_row(row: JobState, location: Location) -> Job:
    """The job as its JobSubmitted describes it; the data folder, which no scan enters, may have moved since."""
    options = FolderOptions.from_parameters(row.parameters)
    if location.folder is not None:
        options = replace(options, never_enter=location.never_enter)
    return Job(
        job_id=row.job_id,
        sources=row.sources,
        rules=PlanRules.from_parameters(row.mode, row.parameters),
        priority=row.priority,
        settings_fingerprint=row.settings_fingerprint,
        parameters={**row.parameters, **options.as_parameters()},
    )


@dataclass(frozen=True, slots=True)
class OpenedJob:
    """A new job with its sources, opened."""

    job: Job
    sources: Sequence[Source]


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """A job that an ingest follows; with its row if it was begun before, else with its sources, opened."""

    job: Job
    row: JobState | None = None
    sources: Sequence[Source] | None = None

    @property
    def is_planned(self) -> bool:
        """Whether all that it asks for is in the log."""
        return self.row is not None and self.row.plan is not None


def jobs_of_ingest(engine: Engine, asked: OpenedJob) -> Iterator[FollowedJob]:
    """The jobs that an ingest of `asked` follows, one after the other.

    Take the next one when the last has ended and the jobs view knows it. An unfinished job of the same sources and
    rules goes on first, and the new job gets what has changed since that one was planned: a second plan beside it would
    ask for all of it again.
    """
    location, job = engine.parts.location, asked.job
    begun = engine.parts.views.jobs.job(job.job_id)
    if begun is not None:
        yield FollowedJob(job_of_row(begun, location), begun)
        return
    has_gone_on = False
    while (row := unfinished_like(engine, job)) is not None:
        has_gone_on = True
        yield FollowedJob(job_of_row(row, location), row)
        ended = engine.parts.views.jobs.job(row.job_id)
        if ended is not None and ended.is_cancelled:  # so is what was asked for
            return
    if not has_gone_on:
        yield FollowedJob(job, sources=asked.sources)
    elif job.rules.limit is None:  # a limit is used up, and what was forced has run
        yield FollowedJob(replace(job, rules=replace(job.rules, force=False)), sources=asked.sources)


def unfinished_like(engine: Engine, job: Job) -> JobState | None:
    """The oldest unfinished job of the same sources and rules, under way or interrupted; None if there is none.

    In a cluster only one whose requests are all in the log: whether the planner of another still lives cannot be known.
    One that a reader in this process sets the pace of is left to it: the reader may be who waits for this ingest.
    """
    rows, _ = engine.parts.views.jobs.unfinished()
    location = engine.parts.location
    read = engine.readers.jobs()
    known = (row for row in rows if row.status in _GOES_ON and (row.plan is not None or engine.plans_alone))
    return next(
        (row for row in known if row.job_id not in read and asks_the_same(job_of_row(row, location), job)), None
    )


def first_of_each(rows: Sequence[JobState], location: Location) -> Iterable[JobState]:
    """Of `rows` that ask for the same only the first: the others would ask for the same documents beside it."""
    seen: list[Job] = []
    for row in rows:
        job = job_of_row(row, location)
        if not any(asks_the_same(job, other) for other in seen):
            seen.append(job)
            yield row


def asks_the_same(one: Job, other: Job) -> bool:
    """Whether two jobs differ in nothing but their ids."""
    return _asked(one) == _asked(other)


def _asked(job: Job) -> object:
    return tuple(job.sources), job.rules, job.priority, job.settings_fingerprint, job.parameters.get("folder")


def open_of_others(engine: Engine, own: Iterable[JobState] = ()) -> int:
    """How many open requests the log holds of other jobs, or of none, than `own`."""
    of_own = sum(row.counts.taken - row.counts.answered for row in own)
    return max(engine.parts.views.manifest.counts().open_requests - of_own, 0)
