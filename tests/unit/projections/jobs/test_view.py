"""What the jobs view says after jobs and documents have spoken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from projections.jobs.entries import JobCounts, JobState, JobStatus
from projections.jobs.view import JobsProjection, JobsView
from schemas.events import Action, JobOutcome, Mode, Priority, SkipReason, StageTotals
from schemas.ids import EventId
from streams.log import Recorded
from tests.samples.histories import NOON, Histories, job_id_of
from tests.servers.sql_views import DATABASES, apply

IMPORT = job_id_of("import")


@pytest.fixture(params=DATABASES)
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobsView]:
    opened = JobsView(DATABASES[request.param](tmp_path), log_id="log-a")
    yield opened
    opened.close()


@pytest.fixture
def made() -> Histories:
    return Histories()


def job_after(view: JobsView, recorded: list[Recorded]) -> JobState:
    apply(view, JobsProjection(), recorded)
    job = view.job(IMPORT)
    assert job is not None
    return job


def test_a_submitted_job_is_planning(view: JobsView, made: Histories) -> None:
    made.job_submitted("import", sources=["docs/", "notes/"])
    job = job_after(view, made.recorded)
    assert job.status is JobStatus.PLANNING
    assert (job.sources, job.parameters) == (("docs/", "notes/"), {"force": "false"})
    assert (job.mode, job.priority) == (Mode.AUTO, Priority.NORMAL)
    assert job.submitted_at == NOON + timedelta(microseconds=17)
    assert (job.plan, job.counts, job.finished_at, job.outcome) == (None, JobCounts(), None, None)


def test_a_planned_job_runs_and_knows_what_remains(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.ingested(job="import")
    made.job_planned("import", requested=5, unchanged=40)
    job = job_after(view, made.recorded)
    assert job.status is JobStatus.RUNNING
    assert job.plan is not None
    assert (job.plan.requested, job.plan.unchanged) == (5, 40)
    assert (job.counts.taken, job.counts.answered, job.remaining) == (1, 1, 4)


def test_before_the_plan_what_remains_is_what_was_taken(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.queued(job="import")
    assert job_after(view, made.recorded).remaining == 1


def test_every_final_answer_is_counted_once_by_its_kind(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.ingested("folder:docs/1.md", job="import")
    retried = made.queued("folder:docs/2.md", job="import")
    made.started(retried)
    made.failed(retried, is_final=False)
    made.started(retried)
    made.failed(retried)
    made.skipped(made.queued("folder:docs/3.md", job="import"))
    made.skipped(made.queued("folder:docs/4.md", job="import"), SkipReason.SUPERSEDED)
    made.skipped(made.queued("folder:docs/5.md", job="import"), SkipReason.SUPERSEDED)
    made.cancelled(made.queued("folder:docs/6.md", job="import"))
    made.vectors_added(made.queued("folder:docs/1.md", job="import", action=Action.REINDEX))
    made.removed(made.queued("folder:docs/1.md", job="import", action=Action.REMOVE))
    made.queued("folder:docs/7.md", job="import")
    made.ingested("folder:docs/8.md", job="another")
    made.ingested("folder:docs/9.md")
    job = job_after(view, made.recorded)
    assert job.counts == JobCounts(
        taken=9, completed=1, skipped=3, failed=1, removed=1, cancelled=1, reindexed=1, chunks=2
    )
    assert job.counts.answered == 8
    assert job.skips == {"SUPERSEDED": 2, "UNCHANGED": 1}


def test_stage_totals_are_over_completed_and_failed_attempts(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.ingested("folder:docs/1.md", job="import")
    made.ingested("folder:docs/2.md", job="import")
    failing = made.queued("folder:docs/3.md", job="import")
    made.started(failing)
    made.failed(failing)
    assert job_after(view, made.recorded).stages == {
        "CHUNK": StageTotals(documents=2, duration_ms=6),
        "FETCH": StageTotals(documents=3, duration_ms=3),
        "PARSE": StageTotals(documents=2, duration_ms=40),
    }


def test_answers_may_be_applied_before_the_job_is_heard_of(view: JobsView, made: Histories) -> None:
    made.job_submitted("import", sources=["docs/"])
    made.ingested(job="import")
    early = job_after(view, made.of("documents"))
    assert (early.submitted_at, early.counts.completed) == (None, 1)
    assert view.unfinished()[0] == []
    late = job_after(view, made.of("jobs"))
    assert (late.sources, late.counts.completed) == (("docs/",), 1)
    assert [job.job_id for job in view.unfinished()[0]] == [IMPORT]


def test_pause_and_resume(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.job_planned("import", requested=1)
    made.job_paused("import")
    assert job_after(view, made.recorded).status is JobStatus.PAUSED
    assert view.control_states().paused == {IMPORT}
    seen = len(made.recorded)
    made.job_resumed("import")
    assert job_after(view, made.recorded[seen:]).status is JobStatus.RUNNING
    assert view.control_states().paused == set()


def test_a_pause_written_twice_does_not_undo_the_resume_between(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    paused = made.job_paused("import")
    made.job_resumed("import")
    made.again(paused)
    assert job_after(view, made.recorded).status is JobStatus.PLANNING


def test_a_pause_written_twice_in_two_batches_does_not_undo_the_resume_between(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    paused = made.job_paused("import")
    made.job_resumed("import")
    apply(view, JobsProjection(), made.recorded)
    made.again(paused)
    assert job_after(view, made.recorded[3:]).status is JobStatus.PLANNING


def test_a_cancelled_job_stays_cancelled(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.job_planned("import", requested=3)
    made.queued(job="import")
    made.job_paused("import")
    made.job_cancelled("import")
    made.job_resumed("import")
    made.job_paused("import")
    job = job_after(view, made.recorded)
    assert (job.status, job.is_cancelled, job.remaining) == (JobStatus.CANCELLING, True, 1)
    assert view.control_states().cancelled == {IMPORT}
    assert view.control_states().paused == set()


def test_a_finished_job_keeps_its_first_end_and_goes_on_counting(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    made.job_cancelled("import")
    finished = made.job_finished("import", outcome=JobOutcome.CANCELLED, duration_ms=1_000)
    made.again(finished)
    made.cancelled(made.queued(job="import"))
    made.job_paused("import")
    job = job_after(view, made.recorded)
    assert (job.status, job.outcome, job.duration_ms) == (JobStatus.FINISHED, JobOutcome.CANCELLED, 1_000)
    assert job.finished_at == NOON + timedelta(seconds=2, microseconds=17)
    assert job.counts.cancelled == 1
    assert view.unfinished()[0] == []
    assert view.control_states().cancelled == {IMPORT}


def test_progress_is_the_latest_by_answers(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    first = made.job_progressed("import", completed_count=100)
    made.job_progressed("import", completed_count=200)
    made.again(first)
    job = job_after(view, made.recorded)
    assert job.pace is not None
    assert job.pace.answers == 200


def test_failures_are_told_with_their_uri_latest_first(view: JobsView, made: Histories) -> None:
    made.job_submitted("import")
    for n in range(3):
        request = made.queued(f"folder:docs/{n}.md", job="import")
        made.started(request)
        made.failed(request, error_code=f"code-{n}")
    other = made.queued("folder:docs/other.md", job="another")
    made.started(other)
    made.failed(other)
    apply(view, JobsProjection(), made.recorded, cuts=[2])
    latest, before = view.failures(IMPORT, limit=2)
    assert (latest.uri, latest.error_code, before.uri) == ("folder:docs/2.md", "code-2", "folder:docs/1.md")
    assert (latest.stage, latest.error_class, latest.message, latest.hint) == (
        "PARSE",
        "PERMANENT",
        "it is encrypted",
        "decrypt it",
    )


def test_a_job_knows_its_own_requests_answered_or_not(view: JobsView, made: Histories) -> None:
    answered = made.ingested("folder:docs/1.md", job="import")
    waiting = made.queued("folder:docs/2.md", job="import")
    foreign = made.queued("folder:docs/3.md", job="another")
    apply(view, JobsProjection(), made.recorded)
    asked = [answered.request_id, waiting.request_id, foreign.request_id, EventId("never-heard-of")]
    assert view.contains(IMPORT, asked) == {answered.request_id, waiting.request_id}
    assert sorted(view.request_ids(IMPORT)) == sorted([answered.request_id, waiting.request_id])


def test_jobs_come_latest_first(view: JobsView, made: Histories) -> None:
    for name in ("monday", "tuesday", "wednesday"):
        made.job_submitted(name)
    made.job_finished("tuesday", outcome=JobOutcome.SUCCEEDED)
    apply(view, JobsProjection(), made.recorded)
    assert [job.job_id for job in view.jobs(limit=2)] == [job_id_of("wednesday"), job_id_of("tuesday")]
    jobs, position = view.unfinished()
    assert [job.job_id for job in jobs] == [job_id_of("monday"), job_id_of("wednesday")]
    assert position == made.position
    assert view.job(job_id_of("sunday")) is None
