"""Verify and rebuild."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from projections.consistency.events import consistency_drafts
from projections.consistency.report import IndexReport
from refold.control.messages import Emit, Json
from refold.engine.engine import INDEXES, SQL_VIEWS, Engine
from schemas.errors import FatalError, UsageError
from schemas.ids import random_id


def verify_indexes(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Compare both indexes with the log; the comparison itself is written to the log."""
    del emit, stop
    for name in INDEXES:
        with suppress(FatalError):  # the report says what is wrong with it; the other one is compared
            engine.wait_for(engine.end(), [name])
    parts = engine.parts
    report = engine.compare_indexes(deep=bool(arguments.get("deep")))
    drafts = consistency_drafts(report, pipeline_id=parts.pipeline_id, now=parts.clock(), cause=random_id())
    parts.log.append(None, drafts)
    return {
        "consistent": report.is_consistent,
        "deep": bool(arguments.get("deep")),
        "indexes": {name: _report_json(index) for name, index in report.indexes.items()},
        "unavailable": [
            {"index": name, "error": str(error), "hint": error.hint} for name, error in report.damage.items()
        ],
    }


def _report_json(report: IndexReport) -> Json:
    return {
        **report.counts,
        "generation": report.generation,
        "position": str(report.position),
        "examples": [asdict(example) for example in report.examples],
    }


def rebuild(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Rebuild views or indexes."""
    del stop
    what = str(arguments.get("what", "all"))
    names = (*SQL_VIEWS, *INDEXES) if what == "all" else (what,)
    if any(name not in (*SQL_VIEWS, *INDEXES) for name in names):
        known = ", ".join((*SQL_VIEWS, *INDEXES, "all"))
        raise UsageError(f"there is nothing called {what!r} to rebuild", op="rebuild", hint=f"choose one of: {known}")
    return {"rebuilt": {name: _rebuilt(engine, name, emit) for name in names}}


def _rebuilt(engine: Engine, name: str, emit: Emit) -> Json:
    if name in SQL_VIEWS:
        return _view_rebuilt(engine, name)
    return asdict(engine.rebuild_index(name, lambda done: emit({"type": "rebuild", "index": name, "documents": done})))


def _view_rebuilt(engine: Engine, name: str) -> Json:
    began = engine.parts.clock()
    position = engine.rebuild_view(name)
    return {
        "position": str(position),
        "seconds": (engine.parts.clock() - began).total_seconds(),
        "parser_calls": 0,
        "embedder_calls": 0,
    }
