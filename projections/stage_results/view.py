"""Known results of stages, so that the same input is not parsed, chunked or embedded twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, select

from projections.sql.counted import not_counted
from projections.sql.dialects import SCAN_ROWS, rows_among, upsert
from projections.sql.store import Snapshot
from projections.sql.values import json_of, value_of
from projections.sql.view import SqlView
from projections.stage_results.tables import StageTables, stage_tables
from schemas.events import DocumentCompleted, DocumentFailed, Stage
from streams.log import Recorded
from streams.stages.results import StageKey, StageResult


@dataclass(frozen=True, slots=True)
class StageChange:
    """A result that a document's stages gave or took; `references` is 1 if a completed version rests on it.

    `partition` and `offset` are its event's place in topic `documents`.
    """

    key: StageKey
    result: StageResult
    references: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class StageEntry:
    """A known result, and how many completed versions rest on it."""

    key: StageKey
    result: StageResult
    reference_count: int


class StageResultsProjection:
    """What the stages of completed and failed attempts put into the artifact store.

    The stages before the one that failed are known too, so that a retry begins where it failed.
    """

    name = "stage_results"
    version = 2
    topics: Sequence[str] = ("documents",)

    def changes(self, recorded: Recorded) -> Sequence[StageChange]:
        """A change per stage that kept an output."""
        event = recorded.event
        if not isinstance(event, DocumentCompleted | DocumentFailed):
            return ()
        references = int(isinstance(event, DocumentCompleted))
        return [
            StageChange(
                StageKey(report.stage, report.input_hash, report.fingerprint),
                StageResult(report.output, report.counts),
                references,
                recorded.partition,
                recorded.offset,
            )
            for report in event.stages
            if report.output is not None
        ]


class StageResultsView(SqlView[StageTables, StageChange]):
    """Stage results in SQL; implements `StageResults`.

    The reference count of a result is the number of completed versions that rest on it. It never falls: every version
    is kept, until garbage collection says otherwise.
    """

    projection = StageResultsProjection()
    tables = staticmethod(stage_tables)

    def _write(self, snapshot: Snapshot[StageTables], changes: Sequence[StageChange]) -> None:
        references: dict[StageKey, int] = {}
        results: dict[StageKey, StageResult] = {}
        for change in not_counted(snapshot.connection, snapshot.tables.counted, changes):
            references[change.key] = references.get(change.key, 0) + change.references
            results[change.key] = change.result
        rows = [
            {
                "input_hash": key.input_hash,
                "stage": str(key.stage),
                "fingerprint": key.fingerprint,
                "result": json_of(result),
                "reference_count": references[key],
            }
            for key, result in results.items()
        ]
        upsert(snapshot.connection, snapshot.tables.results, rows, added=["reference_count"])

    def known(self, keys: Sequence[StageKey]) -> Mapping[StageKey, StageResult]:
        """The results known for `keys`; unknown keys are absent."""
        wanted = set(keys)
        with self.read() as snapshot:
            query, column = _results_query(snapshot.tables.results)
            rows = rows_among(snapshot.connection, query, column, {key.input_hash for key in wanted})
        found = {
            StageKey(Stage(stage), input_hash, fingerprint): result for input_hash, stage, fingerprint, result in rows
        }
        return {key: value_of(StageResult, found[key]) for key in wanted if key in found}

    def scan(self) -> Iterator[StageEntry]:
        """Every known result, by input hash, in one snapshot that stands while this is read."""
        with self.read() as snapshot:
            table = snapshot.tables.results
            for row in snapshot.connection.execution_options(yield_per=SCAN_ROWS).execute(
                select(table).order_by(table.c.input_hash, table.c.stage, table.c.fingerprint)
            ):
                yield StageEntry(
                    StageKey(Stage(row.stage), row.input_hash, row.fingerprint),
                    value_of(StageResult, row.result),
                    row.reference_count,
                )


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _results_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    return select(c.input_hash, c.stage, c.fingerprint, c.result), c.input_hash
