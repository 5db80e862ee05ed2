"""How the corpus is doing, and what its stage cache holds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from projections.fold.progress import ProjectionStatus
from projections.index.state import Condition, IndexState
from refold.commands.jobs import job_json
from refold.control.messages import Emit, Json
from refold.engine.data_folder import FORMAT
from refold.engine.engine import SQL_VIEWS, AnyIndex, Engine, NotThereYet

JOBS_SHOWN = 5

PATIENCE_S = 5.0
"""How long the views may take to catch up; after that the answer is how far they are, which is what was asked."""

BLOCK_BYTES = 512
"""The unit of st_blocks (POSIX)."""


def status(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Documents by status, projections with their lag, the latest jobs."""
    del arguments, emit, stop
    with suppress(NotThereYet):
        engine.wait_for(engine.end(), SQL_VIEWS, timeout_s=PATIENCE_S)
    counts = engine.parts.views.manifest.counts()
    by_status = {str(name): count for name, count in counts.documents.items()}
    return {
        "data": engine.parts.location.name,
        "format": FORMAT,
        "size_bytes": size_bytes_of(engine.parts.location.folder),
        "position": str(engine.end()),
        "documents": {
            **by_status,
            "live_documents": counts.live_documents,
            "live_chunks": counts.live_chunks,
            "open_requests": counts.open_requests,
        },
        "projections": _projections(engine),
        "jobs": [job_json(job) for job in engine.parts.views.jobs.jobs(limit=JOBS_SHOWN)],
    }


def _projections(engine: Engine) -> list[Json]:
    """Those that follow the log, then the indexes that do not."""
    states, told = engine.index_states(), engine.statuses()
    followed = [_projection_json(one, engine.parts.views.indexes.get(one.name), states.get(one.name)) for one in told]
    names = {one.name for one in told}
    return [*followed, *(_state_json(state) for name, state in states.items() if name not in names)]


def _state_json(state: IndexState) -> Json:
    error = state.error
    return {
        "name": state.name,
        "state": state.condition.value,
        "error": str(error) if error else None,
        "hint": error.hint if error else None,
    }


def _projection_json(status: ProjectionStatus, index: AnyIndex | None, state: IndexState | None) -> Json:
    told: Json = {
        "name": status.name,
        "state": _state_of(status, state),
        "position": str(status.position),
        "lag_events": status.lag_events,
        "lag_s": round(status.lag_s, 3),
        "heartbeat_at": status.heartbeat_at.isoformat() if status.heartbeat_at else None,
        "error": str(status.error) if status.error else None,
        "hint": getattr(status.error, "hint", None),
    }
    if index is not None:
        held = index.status()
        told |= {
            "generation": held.generation.name,
            "documents": held.counts.documents,
            "chunks": held.counts.chunks,
            "parked": held.counts.parked,
            "garbage": held.counts.garbage,
            "size_bytes": held.size_bytes,
        }
    return told


def _state_of(status: ProjectionStatus, state: IndexState | None) -> str:
    """The index's, and of a view, which is rebuilt beside itself, what shows in its status."""
    if state is not None:
        return state.condition.value
    if status.is_stopped and status.error is not None:
        return Condition.DAMAGED.value
    return (Condition.BEHIND if status.lag_events else Condition.OPEN).value


def cache_stats(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Known results per stage, and what the artifacts take."""
    del arguments, emit, stop
    engine.wait_for(engine.end(), SQL_VIEWS)
    stages = Counter(str(entry.key.stage) for entry in engine.parts.views.stage_results.scan())
    count = size_bytes = 0
    for ref in engine.parts.artifacts.scan():
        count += 1
        size_bytes += ref.size_bytes
    return {"stages": dict(stages), "artifacts": {"count": count, "size_bytes": size_bytes}}


def size_bytes_of(folder: Path | None) -> int | None:
    """Bytes on disk of all files in a folder (not of their holes); files that vanish meanwhile count nothing.

    None where there is no folder: servers know their own sizes.
    """
    if folder is None:
        return None
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * BLOCK_BYTES
        except FileNotFoundError:
            continue
    return total
