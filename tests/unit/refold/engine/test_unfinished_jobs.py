"""Which unfinished jobs ask for the same as another."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from projections.jobs.entries import JobCounts, JobState, JobStatus
from refold.engine.engine import Location
from refold.engine.unfinished_jobs import asks_the_same, first_of_each, job_of_row
from schemas.events import Meta, Mode, Priority
from schemas.ids import EventId, JobId
from streams.planning.job import Job
from streams.planning.plan import PlanRules
from streams.sources.local.folder import FolderOptions

JOB = Job(
    job_id=JobId("one"),
    sources=("file:///docs/", "file:///notes/"),
    rules=PlanRules(limit=7),
    settings_fingerprint="f",
    parameters=FolderOptions(suffixes=(".md",)).as_parameters(),
)
HOME = Location(name="test", scratch=Path("scratch"))
OTHERS: Mapping[str, Job] = {
    "sources": replace(JOB, sources=("file:///docs/",)),
    "mode": replace(JOB, rules=replace(JOB.rules, mode=Mode.ADD_ONLY)),
    "force": replace(JOB, rules=replace(JOB.rules, force=True)),
    "allow removals": replace(JOB, rules=replace(JOB.rules, allow_removals=True)),
    "limit": replace(JOB, rules=replace(JOB.rules, limit=None)),
    "priority": replace(JOB, priority=Priority.BATCH),
    "settings": replace(JOB, settings_fingerprint="g"),
    "suffixes": replace(JOB, parameters=FolderOptions().as_parameters()),
    "name": replace(JOB, parameters=FolderOptions(suffixes=(".md",), name="share").as_parameters()),
}


def row_of(job: Job, job_id: str) -> JobState:
    """The row of a job that was submitted and not planned."""
    submitted = job.submitted(
        Meta(event_id=EventId("e"), occurred_at=datetime(2026, 1, 1, tzinfo=UTC), pipeline_id="r")
    )
    return JobState(
        job_id=JobId(job_id),
        status=JobStatus.PLANNING,
        is_cancelled=False,
        submitted_at=submitted.meta.occurred_at,
        sources=list(submitted.sources),
        mode=submitted.mode,
        priority=submitted.priority,
        settings_fingerprint=submitted.settings_fingerprint,
        parameters=submitted.parameters,
        plan=None,
        counts=JobCounts(),
        skips={},
        stages={},
        pace=None,
        finished_at=None,
        outcome=None,
        duration_ms=None,
    )


def test_a_job_and_its_row_ask_for_the_same() -> None:
    assert asks_the_same(job_of_row(row_of(JOB, "two"), HOME), JOB)


@pytest.mark.parametrize("other", OTHERS)
def test_jobs_that_differ_in_what_they_ask_do_not(other: str) -> None:
    assert not asks_the_same(job_of_row(row_of(JOB, "two"), HOME), OTHERS[other])


def test_of_rows_that_ask_for_the_same_the_first_stays() -> None:
    rows = [row_of(JOB, "1"), row_of(OTHERS["force"], "2"), row_of(JOB, "3"), row_of(OTHERS["force"], "4")]
    assert [row.job_id for row in first_of_each(rows, HOME)] == ["1", "2"]


def test_a_job_asks_for_the_same_although_the_data_folder_has_moved(tmp_path: Path) -> None:
    def job_in(folder: Path) -> Job:
        location = Location(name="test", scratch=folder, folder=folder)
        return replace(JOB, parameters=FolderOptions(never_enter=location.never_enter).as_parameters())

    moved = Location(name="test", scratch=tmp_path, folder=tmp_path / "moved")
    row = row_of(job_in(tmp_path / "data"), "two")
    assert asks_the_same(job_of_row(row, moved), job_in(tmp_path / "moved"))
    assert FolderOptions.from_parameters(job_of_row(row, moved).parameters).never_enter == moved.never_enter
