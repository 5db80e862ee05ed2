"""The tables of one generation of the stage results."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Integer, MetaData, Table, Text

from projections.sql.counted import counted_table
from projections.sql.dialects import SORTED_TEXT


@dataclass(frozen=True, slots=True)
class StageTables:
    """One row per known result."""

    metadata: MetaData
    results: Table
    counted: Table


def stage_tables(generation: int) -> StageTables:
    """The tables of that generation."""
    metadata = MetaData()
    results = Table(
        f"stage_results_{generation}_results",
        metadata,
        Column("input_hash", SORTED_TEXT, primary_key=True),  # first: lookups go by it
        Column("stage", SORTED_TEXT, primary_key=True),
        Column("fingerprint", SORTED_TEXT, primary_key=True),
        Column("result", Text, nullable=False),  # StageResult as JSON
        Column("reference_count", Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    return StageTables(metadata, results, counted_table(f"stage_results_{generation}_counted", metadata))
