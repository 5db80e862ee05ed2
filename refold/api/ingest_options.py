"""What an ingest can be told through the public API; the same words as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from refold.engine.engine import Engine
from refold.engine.unfinished_jobs import OpenedJob
from schemas.errors import UsageError
from schemas.ids import random_id

OPTIONS = ("mode", "force", "priority", "as_name", "limit", "allow_removals")


def ingest_arguments(sources: Sequence[str | Path], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of the command `ingest` for a new job.

    Raises:
        UsageError: an option is not known, or `sources` is one source and no list.
    """
    if isinstance(sources, str | Path):
        raise UsageError("sources are a list", op="ingest", subject=str(sources), hint=f"give [{str(sources)!r}]")
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise UsageError(
            f"{min(unknown)} is no option of an ingest", op="ingest", hint=f"choose from: {', '.join(OPTIONS)}"
        )
    return {**options, "sources": [str(source) for source in sources], "job_id": random_id()}


def resumed(engine: Engine, asked: OpenedJob) -> OpenedJob:
    """`asked` under the id of the latest job over the same sources; as it is where there is none."""
    engine.wait_for(engine.end(), ["jobs"])
    rows = engine.parts.views.jobs.jobs()
    before = [row for row in rows if tuple(row.sources) == tuple(asked.job.sources)]
    return replace(asked, job=replace(asked.job, job_id=before[0].job_id)) if before else asked
