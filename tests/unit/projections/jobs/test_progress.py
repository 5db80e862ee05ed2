"""When the log is told how far a job is, and that it is done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from projections.fold.follower import Follower, Joining
from projections.jobs.progress import JobProgress
from projections.jobs.view import JobsProjection, JobsView
from projections.sql.databases import open_sqlite
from schemas.events import Action, BatchProgress, JobFinished, JobOutcome, PipelineEvent, SkipReason, StageTotals
from schemas.ids import event_id_of
from schemas.positions import Position
from streams.logs.memory import MemoryLog
from tests.samples.histories import NOON, Histories, drafts_of, job_id_of

IMPORT = job_id_of("import")


class Office:
    """A log, the jobs view of it, and the one who tells of progress, with a clock set by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = NOON
        self.made = Histories()
        self.log = MemoryLog()
        self.view = JobsView(open_sqlite(folder / "jobs.sqlite"), log_id=self.log.log_id)
        self.begin_again()
        self._written = 0

    def begin_again(self) -> None:
        """As after a restart of the process."""
        self.progress = JobProgress(self.log, self.view, pipeline_id="run-1", clock=self.clock)

    def clock(self) -> datetime:
        return self.now

    def write(self) -> None:
        """Append what `made` has that is not in the log yet."""
        new = self.made.recorded[self._written :]
        self._written = len(self.made.recorded)
        if new:
            self.log.append(None, drafts_of(new))

    def catch_up(self) -> None:
        """Bring the view to the end of the log."""
        self.write()
        follower = Follower(self.log, JobsProjection(), self.view, joining=Joining())
        follower.begin()
        follower.read_on()
        follower.apply()

    def told(self, *, after_s: float = 0.0) -> list[PipelineEvent]:
        """What a step appends when the view is up to date and the clock has moved on."""
        self.catch_up()
        self.now += timedelta(seconds=after_s)
        return self.step()

    def step(self) -> list[PipelineEvent]:
        jobs = self.log.partitions("jobs")
        before = self.log.end(jobs)
        self.progress.step()
        return [r.event for batch in self.log.read(jobs, before) for r in batch.recorded]

    def ingest(self, count: int, *, start: int = 0) -> None:
        for n in range(start, start + count):
            self.made.ingested(f"folder:docs/{n}.md", job="import")

    def fail(self, uri: str) -> None:
        request = self.made.queued(uri, job="import")
        self.made.started(request)
        self.made.failed(request)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path)
    opened.made.job_submitted("import")
    yield opened
    opened.view.close()


def only(events: list[PipelineEvent]) -> PipelineEvent:
    (event,) = events
    return event


def test_nothing_is_told_before_anything_is_answered(office: Office) -> None:
    office.made.queued(job="import")
    assert office.told(after_s=60) == []


def test_progress_is_told_after_a_hundred_answers(office: Office) -> None:
    office.ingest(99)
    assert office.told(after_s=1) == []
    office.ingest(1, start=99)
    progress = only(office.told())
    assert isinstance(progress, BatchProgress)
    assert progress.meta.event_id == event_id_of(IMPORT, "BatchProgress", 100)
    assert (progress.completed_count, progress.failed_count, progress.skipped_count) == (100, 0, 0)
    assert progress.meta.occurred_at == office.now
    assert office.told() == []


def test_progress_is_told_after_two_seconds_if_there_is_any(office: Office) -> None:
    office.ingest(3)
    assert office.told(after_s=1.9) == []
    assert only(office.told(after_s=0.2)).meta.event_id == event_id_of(IMPORT, "BatchProgress", 3)
    assert office.told(after_s=60) == []


def test_the_three_counts_are_all_answers(office: Office) -> None:
    office.ingest(2)
    office.made.removed(office.made.queued("folder:docs/0.md", job="import", action=Action.REMOVE))
    office.made.vectors_added(office.made.queued("folder:docs/1.md", job="import", action=Action.REINDEX))
    office.made.skipped(office.made.queued("folder:docs/2.md", job="import"))
    office.made.cancelled(office.made.queued("folder:docs/3.md", job="import"))
    office.fail("folder:docs/4.md")
    office.made.queued("folder:docs/5.md", job="import")
    office.made.job_planned("import", requested=20)
    progress = only(office.told(after_s=3))
    assert isinstance(progress, BatchProgress)
    assert (progress.completed_count, progress.skipped_count, progress.failed_count) == (4, 2, 1)
    assert progress.remaining == 13


def test_the_checkpoint_is_where_the_counts_are_true(office: Office) -> None:
    office.ingest(1)
    progress = only(office.told(after_s=3))
    assert isinstance(progress, BatchProgress)
    assert Position.parse(progress.checkpoint) == Position.parse("documents:0=3,jobs:0=1")


def test_pace_and_time_left_follow_the_last_minute(office: Office) -> None:
    office.made.job_planned("import", requested=400)
    office.ingest(100)
    first = only(office.told())
    assert isinstance(first, BatchProgress)
    assert (first.documents_per_minute, first.eta_s) == (0.0, None), "there is nothing to measure from yet"
    office.ingest(100, start=100)
    second = only(office.told(after_s=30))
    assert isinstance(second, BatchProgress)
    assert (second.documents_per_minute, second.eta_s) == (200.0, 60.0)
    for _ in range(10):
        office.told(after_s=60)
    office.ingest(100, start=200)
    third = only(office.told(after_s=30))
    assert isinstance(third, BatchProgress)
    assert third.documents_per_minute == pytest.approx(100 / 1.5)


def test_a_job_is_done_when_as_many_are_answered_as_were_planned(office: Office) -> None:
    office.ingest(2)
    assert not any(isinstance(event, JobFinished) for event in office.told(after_s=3))
    office.made.job_planned("import", requested=3)
    assert not any(isinstance(event, JobFinished) for event in office.told(after_s=3))
    office.made.skipped(office.made.queued("folder:docs/1.md", job="import"), SkipReason.SUPERSEDED)
    finished = only(office.told(after_s=3))
    assert isinstance(finished, JobFinished)
    assert finished.meta.event_id == event_id_of(IMPORT, "JobFinished")
    assert finished.outcome is JobOutcome.SUCCEEDED
    assert finished.counts == {
        "completed": 2,
        "skipped": 1,
        "failed": 0,
        "removed": 0,
        "cancelled": 0,
        "reindexed": 0,
        "chunks": 4,
    }
    assert finished.stages["PARSE"] == StageTotals(documents=2, duration_ms=40)
    assert finished.duration_ms == 8_999, "it was submitted 17 microseconds after noon"
    assert office.told(after_s=60) == []


def test_a_job_without_any_request_is_done_when_it_is_planned(office: Office) -> None:
    office.made.job_planned("import", requested=0, unchanged=12)
    finished = only(office.told())
    assert isinstance(finished, JobFinished)
    assert finished.outcome is JobOutcome.SUCCEEDED


@pytest.mark.parametrize(
    ("completed", "failed", "unchanged", "outcome"),
    [
        (2, 0, 0, JobOutcome.SUCCEEDED),
        (1, 1, 0, JobOutcome.PARTIAL),
        (0, 2, 0, JobOutcome.FAILED),
        (0, 2, 7, JobOutcome.PARTIAL),
    ],
)
def test_the_outcome_says_how_many_failed(
    office: Office, completed: int, failed: int, unchanged: int, outcome: JobOutcome
) -> None:
    office.ingest(completed)
    for n in range(failed):
        office.fail(f"folder:docs/encrypted-{n}.pdf")
    office.made.job_planned("import", requested=completed + failed, unchanged=unchanged)
    finished = only(office.told())
    assert isinstance(finished, JobFinished)
    assert finished.outcome is outcome


def test_a_cancelled_job_is_done_when_what_was_taken_is_answered(office: Office) -> None:
    office.ingest(1)
    queued = office.made.queued("folder:docs/9.md", job="import")
    office.made.job_planned("import", requested=500)
    office.made.job_cancelled("import")
    assert not any(isinstance(event, JobFinished) for event in office.told(after_s=3))
    office.made.cancelled(queued)
    finished = only(office.told())
    assert isinstance(finished, JobFinished)
    assert finished.outcome is JobOutcome.CANCELLED
    assert (finished.counts["completed"], finished.counts["cancelled"]) == (1, 1)


def test_a_cancelled_job_waits_for_documents_the_view_has_not_read(office: Office) -> None:
    queued = office.made.queued(job="import")
    office.made.job_cancelled("import")
    office.write()
    jobs_only = office.log.end(office.log.partitions("jobs"))
    changes = [c for r in office.made.of("jobs") for c in JobsProjection().changes(r)]
    office.view.apply(changes, Position(), jobs_only)
    assert office.step() == [], "as far as the view knows, nothing was taken"
    assert office.told() == []
    office.made.cancelled(queued)
    assert isinstance(only(office.told()), JobFinished)


def test_who_submits_with_a_clock_that_goes_before_is_told_of_progress_all_the_same(office: Office) -> None:
    """Submitted at noon, and by the clock of who tells of progress it is eleven."""
    office.now = NOON - timedelta(hours=1)
    office.made.job_planned("import", requested=3)
    assert office.told() == []  # it is seen
    office.ingest(1)
    assert office.told(after_s=1) == []
    assert isinstance(only(office.told(after_s=1)), BatchProgress)
    office.ingest(1, start=1)
    assert office.told(after_s=1) == []  # a moment after the last: not at every look
    assert isinstance(only(office.told(after_s=1)), BatchProgress)
    office.ingest(1, start=2)
    finished = only(office.told())
    assert isinstance(finished, JobFinished)
    assert finished.duration_ms == 0


def test_nothing_is_told_while_the_view_has_not_read_what_was_told(office: Office) -> None:
    office.made.job_planned("import", requested=1)
    office.ingest(1)
    assert isinstance(only(office.told()), JobFinished)
    assert office.step() == []
    office.begin_again()
    assert office.step() == []
    assert office.told() == []


def test_told_again_after_a_crash_it_has_the_same_id(office: Office, tmp_path: Path) -> None:
    office.ingest(100)
    first = only(office.told())
    (tmp_path / "copy").mkdir()
    other = Office(tmp_path / "copy")  # what a process sees that crashed before its words were durable
    other.made.job_submitted("import")
    other.ingest(100)
    other.now += timedelta(hours=1)
    assert only(other.told()).meta.event_id == first.meta.event_id
    other.view.close()


def test_jobs_go_their_own_way(office: Office) -> None:
    office.made.job_submitted("update")
    office.made.job_planned("update", requested=1)
    office.made.ingested("folder:docs/update.md", job="update")
    office.made.job_paused("import")
    office.ingest(1)
    told = office.told(after_s=3)
    assert {(type(event), event.meta.job_id) for event in told} == {
        (BatchProgress, IMPORT),
        (JobFinished, job_id_of("update")),
    }
