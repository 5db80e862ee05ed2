"""Ingest and plan."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from refold.commands.ingest_run import IngestRun
from refold.commands.named import mode_named, priority_named
from refold.commands.waiting import wait_for_position
from refold.control.messages import Emit, Json
from refold.engine.engine import SQL_VIEWS, Engine
from refold.engine.unfinished_jobs import OpenedJob
from schemas.ids import JobId, random_id
from streams.planning.job import Job
from streams.planning.plan import PlannedAction, PlanRules
from streams.sources.local.folder import FolderOptions
from streams.sources.table import open_sources


def ingest(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Submit a job, follow it to its end and tell what became of it; the same job id goes on with the same job."""
    wait_for_position(engine, engine.end(), stop, SQL_VIEWS)
    asked = job_of(engine, arguments)
    run = IngestRun(
        engine, emit, stop, waits=bool(arguments.get("wait", True)), is_streamed=bool(arguments.get("stream"))
    )
    engine.work()
    run.follow(asked)
    return run.result(asked.job)


def plan(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """What an ingest would do; `is_cut` when there is more than `limit` documents."""
    del emit
    engine.wait_for(engine.end(), SQL_VIEWS)
    asked = job_of(engine, {**arguments, "job_id": "preview", "limit": None})
    limit = arguments.get("limit")
    counts = dict.fromkeys(map(str, PlannedAction), 0)
    documents: list[Json] = []
    for batch in engine.parts.planner.plan(asked.sources, asked.job.rules):
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


def job_of(engine: Engine, arguments: Mapping[str, Any]) -> OpenedJob:
    """The job that `arguments` ask for, with its sources opened.

    Raises:
        UsageError: a source does not exist, or a word is not known.
    """
    settings, location = engine.parts.settings, engine.parts.location
    options = FolderOptions(
        suffixes=settings.sources.suffixes,
        include=settings.sources.include,
        ignore=settings.sources.ignore,
        shows_hidden=settings.sources.hidden,
        name=arguments.get("as_name"),
        never_enter=location.never_enter,
    )
    sources = open_sources(arguments["sources"], options)
    job = Job(
        job_id=JobId(str(arguments.get("job_id") or random_id())),
        sources=tuple(source.source_uri for source in sources),
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
    return OpenedJob(job, sources)
