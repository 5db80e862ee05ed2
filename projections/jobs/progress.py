"""Tells in the log how far jobs are, and when they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from projections.jobs.entries import JobState
from projections.jobs.tables import COUNTS
from projections.jobs.view import JobsView
from schemas.events import BatchProgress, JobFinished, JobOutcome, Meta
from schemas.ids import EventId, JobId, event_id_of
from schemas.positions import Position
from streams.log import Draft, EventLog

PROGRESS_EVERY_ANSWERS = 100
"""A BatchProgress at the latest after so many answers: one event per hundred adds little to the log."""

PROGRESS_EVERY_S = 2.0
"""Or after so many seconds, if there is any new answer: what a person watching a job takes for alive."""

RATE_WINDOW = timedelta(seconds=60)
"""Documents per minute are of the last minute, so that they follow a change of pace."""


@dataclass(slots=True)
class _Watch:
    """What this process remembers of an unfinished job.

    `since` is when it was first seen, or last reported, by this process's clock; `answers` is how many there were when,
    over the last minute; `fence` is where `documents` ended when the job was first seen cancelled.
    """

    since: datetime
    answers: deque[tuple[datetime, int]] = field(default_factory=deque)
    fence: Position | None = None


class JobProgress:
    """Appends BatchProgress and JobFinished for every unfinished job; one process at a time does so.

    It says nothing while the view has not seen everything in topic `jobs`, so its own last words are always part of
    what it looks at; saying them again after a crash gives the same ids. A BatchProgress counts removed and reindexed
    documents as completed and cancelled requests as skipped, so that its three counts are all answers.

    Args:
        log: Where the events go.
        jobs: Tells what is answered; kept up to date by a runner, whose `after_round` may be `step`.
        pipeline_id: The run that writes the events.
        clock: The time in UTC.
        every_answers: A BatchProgress is due after so many new answers,
        every_s: or, if there is any, after so many seconds.
    """

    def __init__(
        self,
        log: EventLog,
        jobs: JobsView,
        *,
        pipeline_id: str,
        clock: Callable[[], datetime],
        every_answers: int = PROGRESS_EVERY_ANSWERS,
        every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._log = log
        self._jobs = jobs
        self._pipeline_id = pipeline_id
        self._clock = clock
        self._every_answers = every_answers
        self._every = timedelta(seconds=every_s)
        self._watched: dict[JobId, _Watch] = {}

    def step(self) -> None:
        """Append what is due now."""
        jobs, position = self._jobs.unfinished()
        now = self._clock()
        self._watched = {job.job_id: self._watched.get(job.job_id) or _Watch(since=now) for job in jobs}
        if not jobs or not position.reaches(self._log.end(self._log.partitions("jobs"))):
            return
        drafts = []
        for job in jobs:
            event = self._finished(job, position, now) or self._progress(job, position, now)
            if event is not None:
                drafts.append(Draft("jobs", job.job_id, event))
        if drafts:
            self._log.append(None, drafts)

    def _finished(self, job: JobState, position: Position, now: datetime) -> JobFinished | None:
        if not (self._is_cancelled_to_the_end(job, position) if job.is_cancelled else _is_done(job)):
            return None
        return JobFinished(
            meta=self._meta(job, event_id_of(job.job_id, "JobFinished"), now),
            outcome=outcome_of(job),
            counts=_counts_of(job),
            stages=job.stages,
            duration_ms=_duration_ms(job.submitted_at, now),
        )

    def _is_cancelled_to_the_end(self, job: JobState, position: Position) -> bool:
        # Requests that stood in `documents` when the job was seen cancelled are waited for: the view may be behind.
        watch = self._watched[job.job_id]
        if watch.fence is None:
            watch.fence = self._log.end(self._log.partitions("documents"))
        return position.reaches(watch.fence) and job.counts.answered >= job.counts.taken

    def _progress(self, job: JobState, position: Position, now: datetime) -> BatchProgress | None:
        answers = job.counts.answered
        per_minute = self._documents_per_minute(job, now)
        new_answers = answers - (job.pace.answers if job.pace else 0)
        watch, since = self._watched[job.job_id], job.pace.at if job.pace else job.submitted_at
        if since is None or since > now:  # by a clock that goes before this one's
            since = watch.since
        is_due = new_answers >= self._every_answers or now - since >= self._every
        if new_answers <= 0 or not is_due:
            return None
        watch.since = now
        counts = job.counts
        return BatchProgress(
            meta=self._meta(job, event_id_of(job.job_id, "BatchProgress", answers), now),
            completed_count=counts.completed + counts.removed + counts.reindexed,
            failed_count=counts.failed,
            skipped_count=counts.skipped + counts.cancelled,
            remaining=job.remaining,
            documents_per_minute=per_minute,
            eta_s=job.remaining / per_minute * 60 if per_minute and job.plan else None,
            checkpoint=str(position),
        )

    def _documents_per_minute(self, job: JobState, now: datetime) -> float:
        answers = self._watched[job.job_id].answers
        answers.append((now, job.counts.answered))
        while len(answers) > 1 and now - answers[1][0] >= RATE_WINDOW:
            answers.popleft()
        elapsed_s = (now - answers[0][0]).total_seconds()
        return (job.counts.answered - answers[0][1]) * 60 / elapsed_s if elapsed_s > 0 else 0.0

    def _meta(self, job: JobState, event_id: EventId, now: datetime) -> Meta:
        return Meta(event_id=event_id, occurred_at=now, pipeline_id=self._pipeline_id, job_id=job.job_id)


def _duration_ms(submitted_at: datetime | None, now: datetime) -> int:
    """How long a job took; 0 where the clock of its submitter is ahead of this one."""
    return max(0, int((now - submitted_at) / timedelta(milliseconds=1))) if submitted_at else 0


def outcome_of(job: JobState) -> JobOutcome:
    """How a job whose requests are all answered ended; a document found unchanged when planning counts as well done."""
    counts = job.counts
    if job.is_cancelled:
        return JobOutcome.CANCELLED
    if not counts.failed:
        return JobOutcome.SUCCEEDED
    unchanged = job.plan.unchanged if job.plan else 0
    return JobOutcome.FAILED if counts.failed == counts.answered and not unchanged else JobOutcome.PARTIAL


def _is_done(job: JobState) -> bool:
    return job.plan is not None and job.counts.answered >= job.plan.requested


def _counts_of(job: JobState) -> Mapping[str, int]:
    return {name: getattr(job.counts, name) for name in COUNTS if name != "taken"}
