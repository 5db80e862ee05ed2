"""Generations of an index: g1, g2, …; each is written from the log, bound to one embedder and one mapping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from projections.index_changes import IndexSpec
from projections.index_tables import GARBAGE, GENERATIONS, INDEX_TABLES, PARKED, POSITIONS, SERVED
from projections.sql.dialects import WRITES, take_turn
from projections.sql.faults import translated


@dataclass(frozen=True, slots=True)
class Generation:
    """One writing of an index.

    `is_live` is False while it is being built; it was not finished if that is so when the index is opened. `log_id` is
    of the log it is a fold of. `key` is its number among the generations of all indexes.
    """

    key: int
    name: str
    spec: IndexSpec
    log_id: str
    is_live: bool


class Generations:
    """The generations of all indexes that share a database; at most one per index so far."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with translated("open", "generations"), engine.execution_options(**WRITES).begin() as connection:
            take_turn(connection)
            INDEX_TABLES.create_all(connection)

    def current(self, index: str) -> Generation | None:
        """The generation of `index`, live or being built; None before the first."""
        with translated("read", "generations"), self._engine.begin() as connection:
            return _current(connection, index)

    def begin(self, spec: IndexSpec, *, log_id: str) -> Generation:
        """A new generation of `spec.name` that is being built; all rows of the one before it are gone."""
        with translated("write", "generations"), self._engine.execution_options(**WRITES).begin() as connection:
            take_turn(connection)
            previous = _current(connection, spec.name)
            if previous is not None:
                _forget(connection, previous)
            name = f"g{number_of(previous.name) + 1 if previous else 1}"
            row = {
                "index_name": spec.name,
                "generation": name,
                "is_live": False,
                "mapping": spec.mapping,
                "embedder": spec.embedder,
                "dim": spec.dim,
                "log_id": log_id,
            }
            inserted = connection.execute(GENERATIONS.insert(), row).inserted_primary_key
            assert inserted is not None  # noqa: S101 - a single-row insert has one
            return Generation(key=int(inserted[0]), name=name, spec=spec, log_id=log_id, is_live=False)

    def promote(self, generation: Generation) -> Generation:
        """The same generation, live from now on."""
        promote = GENERATIONS.update().where(GENERATIONS.c.key == generation.key).values(is_live=True)
        with translated("write", "generations"), self._engine.execution_options(**WRITES).begin() as connection:
            connection.execute(promote)
        return replace(generation, is_live=True)


def number_of(name: str) -> int:
    """The number in a generation's name."""
    return int(name.removeprefix("g"))


def _current(connection: Connection, index: str) -> Generation | None:
    row = connection.execute(select(GENERATIONS).where(GENERATIONS.c.index_name == index)).one_or_none()
    return None if row is None else _generation(row)


def _forget(connection: Connection, generation: Generation) -> None:
    for table in (SERVED, PARKED, GARBAGE, POSITIONS):
        connection.execute(table.delete().where(table.c.generation_key == generation.key))
    connection.execute(GENERATIONS.delete().where(GENERATIONS.c.key == generation.key))


def _generation(row: Any) -> Generation:
    spec = IndexSpec(name=row.index_name, mapping=row.mapping, embedder=row.embedder, dim=row.dim)
    return Generation(key=row.key, name=row.generation, spec=spec, log_id=row.log_id, is_live=row.is_live)
