"""A view's tables, and the bookkeeping that says which of them are served and how far the log is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, Table, Text, inspect, select

from projections.fold.view import PositionConflict
from projections.sql.dialects import insert_absent, is_in_use, lock_schema
from projections.sql.positions import move_position, stored_position
from projections.sql.transactions import reading, writing
from schemas.errors import FatalError
from schemas.positions import Position, TopicPartition


class ViewOutdated(FatalError):  # noqa: N818 - a state, as in the error tree
    """The stored view was made by another version of its projection, or from another log."""


class ViewMissing(FatalError):  # noqa: N818 - as above
    """The view was never written."""


class HasMetadata(Protocol):
    """The tables of one generation of a view."""

    @property
    def metadata(self) -> MetaData:
        """What creates and drops them all."""


TablesT = TypeVar("TablesT", bound=HasMetadata)

_BOOKS = MetaData()

VIEWS = Table(
    "sql_views",
    _BOOKS,
    Column("view", Text, primary_key=True),
    Column("generation", Integer, nullable=False),  # the tables that are read
    Column("version", Integer, nullable=False),  # of the projection that fills them
    Column("log_id", Text, nullable=False),  # of the log they are a fold of
    Column("building", Integer),  # the tables of a rebuild that is under way
)

POSITIONS = Table(
    "sql_positions",
    _BOOKS,
    Column("view", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

_STANDING = select(
    VIEWS.c.generation,
    VIEWS.c.version,
    VIEWS.c.log_id,
    VIEWS.c.building,
    POSITIONS.c.generation,
    POSITIONS.c.topic,
    POSITIONS.c.partition,
    POSITIONS.c.next_offset,
).join_from(VIEWS, POSITIONS, VIEWS.c.view == POSITIONS.c.view, isouter=True)
"""A view's row, with each of its positions: one query, because every transaction begins with it."""


class _ViewRow(NamedTuple):
    generation: int
    version: int
    log_id: str
    building: int | None


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[TablesT]):
    """A transaction on one generation of a view; everything read in it is true at `position`."""

    connection: Connection
    tables: TablesT
    position: Position


class ViewStore(Generic[TablesT]):
    """The tables of the view `name`.

    A view has generations of tables, numbered; one of them is served, another may be built beside it. Which one is
    served is read in every transaction, so a swap is seen at once by every reader in every process, and a reader that
    began before the swap ends with the tables it began with.

    Args:
        database: The store closes it.
        name: Key of the bookkeeping; the tables of generation 3 are named ``<name>_3_…``.
        version: Of the projection; tables filled by another version are not read but rebuilt.
        log_id: Of the log that is folded.
        tables: Makes the tables of a generation.
        is_read_only: Creates nothing.
    """

    def __init__(
        self,
        database: Engine,
        *,
        name: str,
        version: int,
        log_id: str,
        tables: Callable[[int], TablesT],
        is_read_only: bool = False,
    ) -> None:
        self.name = name
        self._database = database
        self._version = version
        self._log_id = log_id
        self._tables = cache(tables)
        self._standing = _STANDING.where(VIEWS.c.view == name)
        self._pinned: int | None = None
        if is_read_only:
            self._require()
        else:
            self._prepare()

    @contextmanager
    def read(self) -> Iterator[Snapshot[TablesT]]:
        """A snapshot of what is served.

        Raises:
            ViewOutdated: it has to be rebuilt first.
        """
        with reading(self._database, self.name) as connection:
            yield self._snapshot(connection)

    @contextmanager
    def write(self, *, expected: Position, at: Position) -> Iterator[Snapshot[TablesT]]:
        """A transaction that moves the position from `expected` to `at`; what is written in it becomes true with it.

        Raises:
            PositionConflict: the view does not stand at `expected` in a partition that moves.
        """
        with writing(self._database, self.name) as connection:
            generation = self._generation(self._row(connection, for_update=True))
            move_position(connection, POSITIONS, self._key(generation), expected=expected, at=at)
            yield Snapshot(connection, self._tables(generation), at)

    def position(self) -> Position:
        """How far the log is in what is served."""
        with self.read() as snapshot:
            return snapshot.position

    @property
    def is_outdated(self) -> bool:
        """Whether what is stored was made by another version of the projection or from another log."""
        with reading(self._database, self.name) as connection:
            row = self._row(connection)
            return (row.version, row.log_id) != (self._version, self._log_id)

    def build_beside(self) -> Self:
        """The same over new, empty tables, which no reader sees before `swap_in`; an unfinished one is dropped."""
        with writing(self._database, self.name) as connection:
            row = self._row(connection, for_update=True)
            self._drop_all_but(connection, {row.generation})
            building = max(row.generation, row.building or 0) + 1
            self._tables(building).metadata.create_all(connection)
            connection.execute(VIEWS.update().where(VIEWS.c.view == self.name).values(building=building))
        beside = copy(self)
        beside._pinned = building  # noqa: SLF001 - of the same class
        return beside

    def swap_in(self, beside: Self, *, log_end: Position) -> bool:
        """Serve the tables of `beside` instead; False, and nothing done, while they are behind what is served.

        What is served beyond `log_end` can never be reached and does not count: it was not made from this log. The old
        tables may have readers still; they are dropped when the view is opened for writing or rebuilt the next time.
        """
        with writing(self._database, self.name) as connection:
            row = self._row(connection, for_update=True)
            if beside._pinned is None or row.building != beside._pinned:
                raise PositionConflict("another rebuild has taken over", op="swap", subject=self.name)
            served = stored_position(connection, POSITIONS, self._key(row.generation))
            reachable = Position({tp: min(offset, log_end.offset(tp)) for tp, offset in served.items()})
            if not stored_position(connection, POSITIONS, self._key(row.building)).reaches(reachable):
                return False
            serve = VIEWS.update().where(VIEWS.c.view == self.name)
            connection.execute(
                serve.values(generation=row.building, version=self._version, log_id=self._log_id, building=None)
            )
            beside._pinned = None
            return True

    def close(self) -> None:
        """Let go of all connections; idempotent."""
        self._database.dispose()

    def _require(self) -> None:
        with reading(self._database, self.name, op="open") as connection:
            if not inspect(connection).has_table(VIEWS.name):
                raise ViewMissing(op="open", subject=self.name)
            self._row(connection)

    def _prepare(self) -> None:
        with writing(self._database, self.name) as connection:
            lock_schema(connection)
            _BOOKS.create_all(connection)
            first = {"view": self.name, "generation": 1, "version": self._version, "log_id": self._log_id}
            if insert_absent(connection, VIEWS, first):
                self._tables(1).metadata.create_all(connection)
            row = self._row(connection, for_update=True)
            self._drop_all_but(connection, {row.generation, row.building} - {None})

    def _row(self, connection: Connection, *, for_update: bool = False) -> _ViewRow:
        query = select(VIEWS.c.generation, VIEWS.c.version, VIEWS.c.log_id, VIEWS.c.building)
        query = query.where(VIEWS.c.view == self.name)
        row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
        if row is None:
            raise ViewMissing(op="read", subject=self.name)
        return _ViewRow(*row)

    def _snapshot(self, connection: Connection) -> Snapshot[TablesT]:
        rows = connection.execute(self._standing).all()
        if not rows:
            raise ViewMissing(op="read", subject=self.name)
        generation = self._generation(_ViewRow(*rows[0][:4]))
        offsets = {TopicPartition(row[5], row[6]): row[7] for row in rows if row[4] == generation}
        return Snapshot(connection, self._tables(generation), Position(offsets))

    def _generation(self, row: _ViewRow) -> int:
        if self._pinned is not None:
            if row.building != self._pinned:
                raise PositionConflict("another rebuild has taken over", op="write", subject=self.name)
            return self._pinned
        if (row.version, row.log_id) != (self._version, self._log_id):
            raise ViewOutdated(op="read", subject=self.name, hint=f"refold rebuild {self.name}")
        return row.generation

    def _key(self, generation: int) -> dict[str, object]:
        return {"view": self.name, "generation": generation}

    def _drop_all_but(self, connection: Connection, generations: Collection[int | None]) -> None:
        # By name: another version may have had other tables. Readers of some are not waited for: those tables go the
        # next time, and their numbers do not come back.
        for name in inspect(connection).get_table_names():
            found = re.match(rf"{re.escape(self.name)}_(\d+)_", name)
            if found and int(found[1]) not in generations and not is_in_use(connection, name):
                Table(name, MetaData()).drop(connection)
        connection.execute(
            POSITIONS.delete().where(POSITIONS.c.view == self.name, POSITIONS.c.generation.not_in(generations))
        )
