"""What is asked of the jobs view's tables, in one snapshot each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from projections.jobs.entries import ControlStates, JobCounts, JobFailure, JobPace, JobPlan, JobState, JobStatus
from projections.jobs.tables import COUNTS, JobTables
from projections.sql.dialects import SCAN_ROWS, portions
from projections.sql.store import Snapshot
from projections.sql.values import list_of, mapping_of, moment_of, optional_moment_of
from schemas.events import JobOutcome, Mode, Priority, StageTotals
from schemas.ids import EventId, JobId
from schemas.positions import Position

JobsSnapshot = Snapshot[JobTables]

NO_FACTS: dict[str, Any] = {"is_paused": False, "is_cancelled": False}


def facts(snapshot: JobsSnapshot, job_ids: Collection[JobId]) -> dict[JobId, dict[str, Any]]:
    """What topic `jobs` has said so far of each of `job_ids`: their rows without the counts."""
    columns = [column for column in snapshot.tables.jobs.c if column.name not in COUNTS]
    unknown = {column.name: NO_FACTS.get(column.name) for column in columns}
    found: dict[JobId, dict[str, Any]] = {job_id: {**unknown, "job_id": job_id} for job_id in sorted(job_ids)}
    for ids in portions(job_ids):
        query = select(*columns).where(snapshot.tables.jobs.c.job_id.in_(ids))
        for row in snapshot.connection.execute(query).mappings():
            found[row["job_id"]] = dict(row)
    return found


def jobs(snapshot: JobsSnapshot, *, limit: int | None = None) -> list[JobState]:
    """Jobs, the latest submitted first."""
    c = snapshot.tables.jobs.c
    return _jobs(snapshot, [], order=[c.submitted_at.desc().nulls_last(), c.job_id], limit=limit)


def job(snapshot: JobsSnapshot, job_id: JobId) -> JobState | None:
    """The job of that id."""
    c = snapshot.tables.jobs.c
    return next(iter(_jobs(snapshot, [c.job_id == job_id], order=[], limit=1)), None)


def unfinished(snapshot: JobsSnapshot) -> tuple[list[JobState], Position]:
    """Submitted jobs without a JobFinished, oldest first, and the position they are true at."""
    c = snapshot.tables.jobs.c
    where = [c.submitted_at.is_not(None), c.finished_at.is_(None)]
    return _jobs(snapshot, where, order=[c.submitted_at, c.job_id], limit=None), snapshot.position


def failures(snapshot: JobsSnapshot, job_id: JobId, *, limit: int) -> list[JobFailure]:
    """Final failures of a job, the latest first."""
    failure, request = snapshot.tables.failures, snapshot.tables.requests
    query = (
        select(failure, func.coalesce(request.c.uri, "").label("uri"))
        .join_from(
            failure,
            request,
            (request.c.job_id == failure.c.job_id) & (request.c.request_id == failure.c.request_id),
            isouter=True,
        )
        .where(failure.c.job_id == job_id)
        .order_by(failure.c.failed_at.desc(), failure.c.partition, failure.c.offset.desc())
        .limit(limit)
    )
    return [
        JobFailure(
            document_id=row.document_id,
            uri=row.uri,
            request_id=row.request_id,
            failed_at=moment_of(row.failed_at),
            stage=row.stage,
            error_class=row.error_class,
            error_code=row.error_code,
            message=row.message,
            hint=row.hint,
            attempt=row.attempt,
        )
        for row in snapshot.connection.execute(query)
    ]


def contains(snapshot: JobsSnapshot, job_id: JobId, request_ids: Collection[EventId]) -> set[EventId]:
    """Those of `request_ids` that were taken as requests of the job."""
    c = snapshot.tables.requests.c
    query = select(c.request_id).where(c.job_id == job_id)
    return {
        request_id
        for ids in portions(request_ids)
        for request_id in snapshot.connection.scalars(query.where(c.request_id.in_(ids)))
    }


def request_ids(snapshot: JobsSnapshot, job_id: JobId) -> Iterator[EventId]:
    """All requests that were taken of the job."""
    c = snapshot.tables.requests.c
    query = select(c.request_id).where(c.job_id == job_id)
    yield from snapshot.connection.execution_options(yield_per=SCAN_ROWS).scalars(query)


def control_states(snapshot: JobsSnapshot) -> ControlStates:
    """Which jobs are paused or cancelled."""
    c = snapshot.tables.jobs.c
    rows = snapshot.connection.execute(select(c.job_id, c.is_cancelled).where(c.is_paused | c.is_cancelled)).all()
    return ControlStates(
        paused=frozenset(job_id for job_id, is_cancelled in rows if not is_cancelled),
        cancelled=frozenset(job_id for job_id, is_cancelled in rows if is_cancelled),
    )


def _jobs(
    snapshot: JobsSnapshot,
    where: Sequence[ColumnElement[bool]],
    *,
    order: Sequence[ColumnElement[Any]],
    limit: int | None,
) -> list[JobState]:
    query = select(snapshot.tables.jobs).where(*where).order_by(*order).limit(limit)
    rows = snapshot.connection.execute(query).all()
    job_ids = [row.job_id for row in rows]
    skips: dict[JobId, dict[str, int]] = {job_id: {} for job_id in job_ids}
    stages: dict[JobId, dict[str, StageTotals]] = {job_id: {} for job_id in job_ids}
    for ids in portions(job_ids):
        skip, stage = snapshot.tables.skips, snapshot.tables.stages
        for row in snapshot.connection.execute(select(skip).where(skip.c.job_id.in_(ids)).order_by(skip.c.reason)):
            job_id, reason, count = row
            skips[job_id][reason] = count
        for row in snapshot.connection.execute(select(stage).where(stage.c.job_id.in_(ids)).order_by(stage.c.stage)):
            job_id, name, documents, cached, duration_ms = row
            stages[job_id][name] = StageTotals(documents=documents, cached=cached, duration_ms=duration_ms)
    return [_job(row, skips=skips[row.job_id], stages=stages[row.job_id]) for row in rows]


def _job(row: Row[Any], *, skips: dict[str, int], stages: dict[str, StageTotals]) -> JobState:
    return JobState(
        job_id=row.job_id,
        status=_status(row),
        is_cancelled=row.is_cancelled,
        submitted_at=optional_moment_of(row.submitted_at),
        sources=list_of(row.sources),
        mode=Mode(row.mode or Mode.UNKNOWN),
        priority=Priority(row.priority or Priority.UNKNOWN),
        settings_fingerprint=row.settings_fingerprint or "",
        parameters=mapping_of(row.parameters),
        plan=_plan(row),
        counts=JobCounts(**{name: getattr(row, name) for name in COUNTS}),
        skips=skips,
        stages=stages,
        pace=_pace(row),
        finished_at=optional_moment_of(row.finished_at),
        outcome=JobOutcome(row.outcome) if row.outcome else None,
        duration_ms=row.duration_ms,
    )


def _status(row: Row[Any]) -> JobStatus:
    if row.finished_at is not None:
        return JobStatus.FINISHED
    if row.is_cancelled:
        return JobStatus.CANCELLING
    if row.is_paused:
        return JobStatus.PAUSED
    return JobStatus.PLANNING if row.planned_at is None else JobStatus.RUNNING


def _plan(row: Row[Any]) -> JobPlan | None:
    if row.planned_at is None:
        return None
    return JobPlan(
        planned_at=moment_of(row.planned_at),
        requested=row.requested,
        unchanged=row.unchanged,
        to_remove=row.to_remove,
        unreadable=row.unreadable,
    )


def _pace(row: Row[Any]) -> JobPace | None:
    if row.progress_at is None:
        return None
    return JobPace(
        at=moment_of(row.progress_at),
        answers=row.progress_answers,
        documents_per_minute=row.documents_per_minute,
        eta_s=row.eta_s,
    )
