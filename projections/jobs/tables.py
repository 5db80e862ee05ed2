"""The tables of one generation of the jobs view."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, false

from projections.sql.counted import counted_table
from projections.sql.dialects import SORTED_TEXT


@dataclass(frozen=True, slots=True)
class JobTables:
    """A row per job, and what there can be many of per job beside it."""

    metadata: MetaData
    jobs: Table
    requests: Table
    failures: Table
    skips: Table
    stages: Table
    controls: Table
    counted: Table


def job_tables(generation: int) -> JobTables:
    """The tables of that generation."""
    metadata = MetaData()
    prefix = f"jobs_{generation}"
    return JobTables(
        metadata=metadata,
        jobs=_jobs(metadata, prefix),
        requests=Table(
            f"{prefix}_requests",
            metadata,
            Column("job_id", SORTED_TEXT, primary_key=True),
            Column("request_id", Text, primary_key=True),
            Column("uri", Text),
            Column("answer_kind", Text),  # null while it is open
            sqlite_with_rowid=False,
        ),
        failures=_failures(metadata, prefix),
        skips=Table(
            f"{prefix}_skips",
            metadata,
            Column("job_id", SORTED_TEXT, primary_key=True),
            Column("reason", SORTED_TEXT, primary_key=True),
            Column("count", Integer, nullable=False),
        ),
        stages=Table(
            f"{prefix}_stages",
            metadata,
            Column("job_id", SORTED_TEXT, primary_key=True),
            Column("stage", SORTED_TEXT, primary_key=True),
            Column("documents", Integer, nullable=False),
            Column("cached", Integer, nullable=False),
            Column("duration_ms", BigInteger, nullable=False),
        ),
        controls=Table(  # pauses and resumes seen: they may be written twice
            f"{prefix}_controls",
            metadata,
            Column("event_id", Text, primary_key=True),
        ),
        counted=counted_table(f"{prefix}_counted", metadata),
    )


def _jobs(metadata: MetaData, prefix: str) -> Table:
    # What topic `jobs` says may come after what topic `documents` counts: all of it may be absent.
    jobs = Table(
        f"{prefix}_jobs",
        metadata,
        Column("job_id", SORTED_TEXT, primary_key=True),
        Column("submitted_at", BigInteger),
        Column("sources", Text),  # JSON
        Column("mode", Text),
        Column("priority", Text),
        Column("settings_fingerprint", Text),
        Column("parameters", Text),  # JSON
        Column("planned_at", BigInteger),
        Column("requested", Integer),
        Column("unchanged", Integer),
        Column("to_remove", Integer),
        Column("unreadable", Integer),
        Column("is_paused", Boolean, nullable=False, server_default=false()),
        Column("is_cancelled", Boolean, nullable=False, server_default=false()),
        Column("progress_at", BigInteger),
        Column("progress_answers", Integer),
        Column("documents_per_minute", Float),
        Column("eta_s", Float),
        Column("finished_at", BigInteger),
        Column("outcome", Text),
        Column("duration_ms", BigInteger),
        *(Column(name, Integer, nullable=False, server_default="0") for name in COUNTS),
    )
    Index(f"{prefix}_by_time", jobs.c.submitted_at)
    return jobs


COUNTS = ("taken", "completed", "skipped", "failed", "removed", "cancelled", "reindexed", "chunks")
"""What is counted per job, from topic `documents`."""


def _failures(metadata: MetaData, prefix: str) -> Table:
    return Table(
        f"{prefix}_failures",
        metadata,
        Column("job_id", SORTED_TEXT, primary_key=True),
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("offset", BigInteger, primary_key=True, autoincrement=False),
        Column("document_id", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("failed_at", BigInteger, nullable=False),
        Column("stage", Text, nullable=False),
        Column("error_class", Text, nullable=False),
        Column("error_code", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("hint", Text),
        Column("attempt", Integer, nullable=False),
        sqlite_with_rowid=False,
    )
