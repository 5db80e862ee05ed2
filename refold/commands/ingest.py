"""Ingest and plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from projections.job_entries import JobState, JobStatus
from refold.commands import Emit, Json
from refold.commands.jobs import job_json
from refold.control.messages import Interrupted
from refold.engine import SQL_VIEWS, Engine
from refold.event_json import recorded_json
from refold.job_events import JobEvents
from refold.planning import Planning, sources_of
from refold.waiting import parked_of_job, wait_for_position
from refold.words import mode_named, priority_named
from schemas.ids import JobId
from schemas.positions import Position
from streams.adapters.folder import FolderOptions
from streams.job import Job
from streams.plan import PlannedAction, PlanRules

LOOK_EVERY_S = 0.1
"""How often a watched job's row is looked at: a query of a millisecond."""

NEW_FAILURES = 50
"""Failures told at once; the rest is in the documents' list."""


def ingest(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Submit a job, follow it to its end and tell what became of it; the same job id goes on with the same job."""
    wait_for_position(engine, engine.end(), stop, SQL_VIEWS)
    job = job_of(engine, arguments)
    began_s = time.monotonic()
    before = engine.end()
    planning = engine.work().plan(job)
    if arguments.get("stream"):
        threading.Thread(
            target=_emit_events, args=(engine, job.job_id, before, emit, stop), name="stream", daemon=True
        ).start()
    row = _follow(engine, planning, emit, stop, wait=bool(arguments.get("wait", True)))
    if planning.error is not None:
        raise planning.error
    return _result(engine, planning, row, seconds=time.monotonic() - began_s, stop=stop)


def plan(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """What an ingest would do; `is_cut` when there is more than `limit` documents."""
    del emit
    engine.wait_for(engine.end(), SQL_VIEWS)
    job = job_of(engine, {**arguments, "job_id": "preview", "limit": None})
    limit = arguments.get("limit")
    counts = dict.fromkeys(map(str, PlannedAction), 0)
    documents: list[Json] = []
    for batch in engine.parts.planner.plan(sources_of(job), job.rules):
        for planned in batch:
            counts[planned.action] += 1
            if limit is None or len(documents) < int(limit):
                documents.append(
                    {
                        "document_id": planned.document_id,
                        "uri": planned.uri,
                        "action": str(planned.action),
                        "reason": planned.reason,
                    }
                )
        if stop.is_set():
            break
    return {"documents": documents, "counts": counts, "is_cut": sum(counts.values()) > len(documents)}


def job_of(engine: Engine, arguments: Mapping[str, Any]) -> Job:
    """The job that `arguments` ask for.

    Raises:
        UsageError: a source does not exist, or a word is not known.
    """
    settings, home = engine.parts.settings, engine.parts.home
    options = FolderOptions(
        suffixes=settings.sources.suffixes,
        include=settings.sources.include,
        ignore=settings.sources.ignore,
        shows_hidden=settings.sources.hidden,
        name=arguments.get("as_name"),
        never_enter=(str(home.folder.resolve()),) if home.folder is not None else (),
    )
    job = Job(
        job_id=JobId(str(arguments["job_id"])),
        sources=tuple(arguments["sources"]),
        rules=PlanRules(
            mode=mode_named(str(arguments.get("mode", "auto"))),
            force=bool(arguments.get("force")),
            allow_removals=bool(arguments.get("allow_removals")),
            limit=arguments.get("limit"),
        ),
        priority=priority_named(str(arguments.get("priority", "normal"))),
        settings_fingerprint=settings.fingerprint,
        parameters=options.as_parameters(),
    )
    opened = sources_of(job)
    return Job(**{**_fields(job), "sources": tuple(source.source_uri for source in opened)})


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in Job.__slots__}


def _follow(engine: Engine, planning: Planning, emit: Emit, stop: threading.Event, *, wait: bool) -> JobState | None:
    """The job's row when it has finished (or is planned, without `wait`); None when `stop` came first."""
    job_id, failures_told = planning.job.job_id, 0
    while not stop.is_set():
        engine.check()
        row = engine.parts.views.jobs.job(job_id)
        if row is not None:
            failures_told = _tell(engine, row, failures_told, emit)
            if row.finished_at is not None or (not wait and row.plan is not None):
                return row
        if planning.error is not None and (row is None or row.plan is None):
            return row
        stop.wait(LOOK_EVERY_S)
    planning.leave()
    return None


def _tell(engine: Engine, row: JobState, failures_told: int, emit: Emit) -> int:
    """Emit how far the job is, and its new failures; returns how many failures were told so far."""
    new = min(row.counts.failed - failures_told, NEW_FAILURES)
    if new > 0:
        for failure in reversed(engine.parts.views.jobs.failures(row.job_id, limit=new)):
            emit({"type": "failure", **asdict(failure), "failed_at": failure.failed_at.isoformat()})
    emit(
        {
            "type": "progress",
            **job_json(row),
            "phase": "planning" if row.status is JobStatus.PLANNING else str(row.status),
            "documents_per_minute": _per_minute(engine, row),
            "eta_s": row.pace.eta_s if row.pace else None,
        }
    )
    return row.counts.failed


def _per_minute(engine: Engine, row: JobState) -> float:
    if row.pace is not None:
        return row.pace.documents_per_minute
    now: datetime = engine.parts.clock()
    elapsed_s = (now - row.submitted_at).total_seconds() if row.submitted_at else 0.0
    return row.counts.answered * 60 / elapsed_s if elapsed_s > 0 else 0.0


def _result(engine: Engine, planning: Planning, row: JobState | None, *, seconds: float, stop: threading.Event) -> Json:
    job_id = planning.job.job_id
    row = row or engine.parts.views.jobs.job(job_id)
    is_finished = row is not None and row.finished_at is not None
    is_searchable = is_finished and _is_searchable(engine, job_id, stop)
    told = job_json(row) if row is not None else {"requested": 0}
    unfinished = "INTERRUPTED" if stop.is_set() else "RUNNING"
    outcome = told["outcome"] if is_finished else unfinished
    counts = {
        name: told.get(name, 0) for name in ("completed", "skipped", "unchanged", "failed", "removed", "cancelled")
    }
    return {
        "job_id": job_id,
        "outcome": outcome,
        "requested": told["requested"],
        **counts,
        "not_started": told.get("remaining", 0),
        "left_out": planning.published.left_out if planning.published is not None else 0,
        "chunks": told.get("chunks", 0),
        "seconds": round(seconds, 3),
        "documents_per_s": round(counts["completed"] / seconds, 3) if seconds > 0 else 0.0,
        "searchable": is_searchable or (not is_finished and not stop.is_set()),
        "position": str(engine.end()),
    }


def _is_searchable(engine: Engine, job_id: JobId, stop: threading.Event) -> bool:
    try:
        wait_for_position(engine, engine.end(), stop)
    except Interrupted:
        return False
    return not parked_of_job(engine, job_id)


def _emit_events(engine: Engine, job_id: JobId, after: Position, emit: Emit, stop: threading.Event) -> None:
    for recorded in JobEvents(engine, job_id, after=after, stop=stop):
        emit({"type": "event", "event": recorded_json(recorded)})
