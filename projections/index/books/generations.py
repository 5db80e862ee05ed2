"""Generations of an index: g1, g2, …; each is written from the log, bound to one embedder and one mapping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from projections.fold.view import GenerationGone
from projections.index.books.tables import GARBAGE, GENERATIONS, INDEX_TABLES, MOMENTS, PARKED, POSITIONS, SERVED
from projections.index.changes import IndexSpec
from projections.sql.dialects import lock_schema
from projections.sql.transactions import reading, writing

_ROW = select(GENERATIONS.c.key).where(GENERATIONS.c.key == bindparam("key"))

_HOLD = _ROW.with_for_update(read=True, key_share=True)
"""Holds up the process that deletes the row, and no other; in SQLite a transaction that writes is alone anyway."""

_END = _ROW.with_for_update()
"""Waits for those that hold it, before any row is deleted that they may wait for."""


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
    """The generations of all indexes that share a database: of each a current one, and one that is written beside it.

    The current one is live, or the oldest where none is: it was never written to its end.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database
        with writing(database, "generations", op="open") as connection:
            lock_schema(connection)
            INDEX_TABLES.create_all(connection)

    def current(self, index: str) -> Generation | None:
        """The current generation of `index`; None before the first."""
        with reading(self._database, "generations") as connection:
            return _current(connection, index)

    def promote(self, generation: Generation) -> Generation:
        """The same generation, live from now on in place of the one before, whose rows go when that one is closed.

        Raises:
            GenerationGone: it is not there any more.
        """
        is_this = GENERATIONS.c.key == generation.key
        of_index = GENERATIONS.c.index_name == generation.spec.name
        with writing(self._database, "generations") as connection:
            if connection.execute(GENERATIONS.update().where(is_this).values(is_live=True)).rowcount != 1:
                raise gone(generation)
            connection.execute(GENERATIONS.update().where(of_index, ~is_this).values(is_live=False))
        return replace(generation, is_live=True)

    @contextmanager
    def locked(self, index: str) -> Iterator[LockedGenerations]:
        """What is done in the block takes effect when it ends; no other process enters one until then.

        An error in the block leaves everything as it was.
        """
        with writing(self._database, "generations") as connection:
            lock_schema(connection)
            yield LockedGenerations(connection, index)


class LockedGenerations:
    """The generations of one index, in the hands of one process."""

    def __init__(self, connection: Connection, index: str) -> None:
        self._connection = connection
        self._index = index

    def current(self) -> Generation | None:
        """The current generation; None before the first."""
        return _current(self._connection, self._index)

    def begin(self, spec: IndexSpec, *, log_id: str, is_live: bool = False) -> Generation:
        """A new generation that takes the place of the others; all their rows are gone."""
        name = self._next_name()
        self.forget_others(None)
        return self._inserted(spec, name, log_id=log_id, is_live=is_live)

    def begin_beside(self, spec: IndexSpec, *, log_id: str) -> Generation:
        """A new generation beside the current one, which stays; one that was begun before is gone."""
        self.forget_others(self.current())
        return self._inserted(spec, self._next_name(), log_id=log_id, is_live=False)

    def forget_others(self, spared: Generation | None) -> None:
        """Delete the rows of all generations but `spared`."""
        for generation in _all(self._connection, self._index):
            if spared is None or generation.key != spared.key:
                _forget(self._connection, generation)

    def _next_name(self) -> str:
        return f"g{max((number_of(one.name) for one in _all(self._connection, self._index)), default=0) + 1}"

    def _inserted(self, spec: IndexSpec, name: str, *, log_id: str, is_live: bool) -> Generation:
        row = {
            "index_name": self._index,
            "generation": name,
            "is_live": is_live,
            "mapping": spec.mapping,
            "embedder": spec.embedder,
            "dim": spec.dim,
            "log_id": log_id,
        }
        inserted = self._connection.execute(GENERATIONS.insert(), row).inserted_primary_key
        assert inserted is not None  # noqa: S101 - a single-row insert has one
        return Generation(key=int(inserted[0]), name=name, spec=spec, log_id=log_id, is_live=is_live)


def check_generation(connection: Connection, generation: Generation) -> None:
    """Hold the row of `generation`, so that it stays to the end of this transaction.

    Raises:
        GenerationGone: it is not there any more.
    """
    if connection.execute(_HOLD, {"key": generation.key}).one_or_none() is None:
        raise gone(generation)


def gone(generation: Generation) -> GenerationGone:
    """The error for that."""
    return GenerationGone(
        f"generation {generation.name} of the {generation.spec.name} index is gone: another one was begun",
        op="write",
        subject=f"{generation.spec.name} {generation.name}",
    )


def number_of(name: str) -> int:
    """The number in a generation's name."""
    return int(name.removeprefix("g"))


def _current(connection: Connection, index: str) -> Generation | None:
    return next(iter(_all(connection, index)), None)


def _all(connection: Connection, index: str) -> list[Generation]:
    """The generations of `index`, the current one first."""
    of_index = select(GENERATIONS).where(GENERATIONS.c.index_name == index)
    rows = connection.execute(of_index.order_by(GENERATIONS.c.is_live.desc(), GENERATIONS.c.key))
    return [_generation(row) for row in rows]


def _forget(connection: Connection, generation: Generation) -> None:
    connection.execute(_END, {"key": generation.key})
    for table in (SERVED, PARKED, GARBAGE, POSITIONS, MOMENTS):
        connection.execute(table.delete().where(table.c.generation_key == generation.key))
    connection.execute(GENERATIONS.delete().where(GENERATIONS.c.key == generation.key))


def _generation(row: Any) -> Generation:
    spec = IndexSpec(name=row.index_name, mapping=row.mapping, embedder=row.embedder, dim=row.dim)
    return Generation(key=row.key, name=row.generation, spec=spec, log_id=row.log_id, is_live=row.is_live)
