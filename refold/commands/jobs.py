"""Jobs: list, show, pause, resume, cancel."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from projections.jobs.entries import JobState
from refold.commands.named import job_named
from refold.commands.waiting import wait_for_job
from refold.control.messages import Emit, Json
from refold.engine.engine import SQL_VIEWS, Engine
from refold.engine.unfinished_jobs import open_of_others
from schemas.errors import UsageError
from schemas.events import JobCancelled, JobPaused, JobResumed, Meta
from schemas.ids import EventId, random_id
from streams.log import Draft

FAILURES_SHOWN = 100


def list_jobs(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """The latest jobs."""
    del emit, stop
    engine.wait_for(engine.end(), SQL_VIEWS)
    return {"jobs": [job_json(job) for job in engine.parts.views.jobs.jobs(limit=int(arguments.get("limit", 20)))]}


def show_job(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """One job with its stages and failures."""
    del emit, stop
    job = _named(engine, arguments)
    failures = engine.parts.views.jobs.failures(job.job_id, limit=FAILURES_SHOWN)
    return {
        **job_json(job),
        "stages": {name: asdict(totals) for name, totals in job.stages.items()},
        "failures": [{**asdict(failure), "failed_at": failure.failed_at.isoformat()} for failure in failures],
    }


def pause_job(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """What has not started waits."""
    del emit, stop
    job = _unfinished(engine, arguments)
    return _left_behind(engine, _say(engine, job, JobPaused), job)


def resume_job(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """A paused job goes on; an owner that took the folder only for this waits until it has finished."""
    del emit
    job = _unfinished(engine, arguments)
    said = _say(engine, job, JobResumed)
    works_unasked = engine.works_unasked
    engine.work().resume(job)
    finished = None if works_unasked else wait_for_job(engine, job.job_id, stop)
    return _left_behind(engine, said, finished or job)


def cancel_job(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """What has not started is answered DocumentCancelled."""
    del emit
    job = _unfinished(engine, arguments)
    said = _say(engine, job, JobCancelled)
    engine.work()
    return _left_behind(engine, said, wait_for_job(engine, job.job_id, stop) or job)


def job_json(job: JobState) -> Json:
    """A job as results show it."""
    return {
        "job_id": job.job_id,
        "status": str(job.status),
        "outcome": str(job.outcome) if job.outcome else None,
        "sources": list(job.sources),
        "mode": str(job.mode),
        "priority": str(job.priority),
        "submitted_at": job.submitted_at.isoformat() if job.submitted_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "requested": job.plan.requested if job.plan else job.counts.taken,
        "unchanged": (job.plan.unchanged if job.plan else 0) + job.skips.get("UNCHANGED", 0),
        "completed": job.counts.completed,
        "skipped": job.counts.skipped - job.skips.get("UNCHANGED", 0),
        "failed": job.counts.failed,
        "removed": job.counts.removed,
        "cancelled": job.counts.cancelled,
        "chunks": job.counts.chunks,
        "remaining": job.remaining,
    }


def _left_behind(engine: Engine, said: Json, job: JobState) -> Json:
    """The job as it is known now, with the open requests of others."""
    told = said if job.finished_at is None else job_json(job)
    return {**told, "open_of_others": open_of_others(engine, [job])}


def _say(engine: Engine, job: JobState, kind: type[JobPaused | JobResumed | JobCancelled]) -> Json:
    meta = Meta(
        event_id=EventId(random_id()),
        occurred_at=engine.parts.clock(),
        pipeline_id=engine.parts.pipeline_id,
        job_id=job.job_id,
    )
    position = engine.parts.log.append(None, [Draft("jobs", job.job_id, kind(meta=meta))])
    engine.wait_for(position, ["jobs"])
    return job_json(job_named(engine, job.job_id))


def _unfinished(engine: Engine, arguments: Mapping[str, Any]) -> JobState:
    job = _named(engine, arguments)
    if job.finished_at is not None:
        raise UsageError(f"job {job.job_id} has finished", op="jobs", subject=job.job_id, hint="see: refold jobs list")
    return job


def _named(engine: Engine, arguments: Mapping[str, Any]) -> JobState:
    engine.wait_for(engine.end(), SQL_VIEWS)
    return job_named(engine, str(arguments["job"]))
