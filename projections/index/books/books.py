"""What an index knows of itself, in SQL: what it serves, what is garbage or parked, and how far the log is in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from projections.index.books.batch import Bookings, Known
from projections.index.books.garbage import (
    DueGarbage,
    count_garbage,
    forget_garbage,
    put_garbage,
    read_due,
    read_garbage_ids,
    spare_served,
)
from projections.index.books.generations import Generation, check_generation
from projections.index.books.latest_versions import LatestVersion
from projections.index.books.moments import keep_moments, last_moment, next_moment
from projections.index.books.parked import Parked, clear_parked, count_parked, put_parked, read_parked
from projections.index.books.served import (
    Served,
    Standing,
    count_served,
    iter_versions,
    put_served,
    read_served,
    read_standings,
)
from projections.index.books.tables import POSITIONS
from projections.sql.databases import open_sqlite
from projections.sql.positions import move_position, stored_position
from projections.sql.transactions import reading, writing
from schemas.ids import DocumentId
from schemas.positions import Position

MAX_DUE_IDS = 20_000
"""Garbage deleted in one go: short enough that a batch waiting for its turn is not held up."""


@dataclass(frozen=True, slots=True)
class BookCounts:
    """How much there is; `chunks` and `documents` are what should be served."""

    documents: int
    chunks: int
    garbage: int
    parked: int
    awaiting: int


def open_index_database(path: Path) -> Engine:
    """The SQLite file at `path` that holds the books of indexes, as an engine of SQLAlchemy's."""
    engine = open_sqlite(path)
    event.listen(engine, "connect", _sync_every_commit)
    return engine


class IndexBooks:
    """The rows of one generation of one index."""

    def __init__(self, database: Engine, generation: Generation) -> None:
        self._database = database
        self._generation = generation
        self._key = generation.key
        self._subject = f"{generation.spec.name} {generation.name}"

    def position(self) -> Position:
        """How far the log is in this generation."""
        with reading(self._database, self._subject) as connection:
            return stored_position(connection, POSITIONS, {"generation_key": self._key})

    def moment(self) -> int:
        """The latest moment at which anything was switched: what is switched from now on has a later one."""
        with reading(self._database, self._subject) as connection:
            return last_moment(connection, self._key)

    def keep_moments(self) -> None:
        """Have `moment` at hand also where an earlier release wrote the index; cheap where it is."""
        with writing(self._database, self._subject) as connection:
            keep_moments(connection, self._key)

    def known(self, document_ids: Collection[DocumentId]) -> Known:
        """What is served and what is parked of `document_ids`, at one moment."""
        with reading(self._database, self._subject) as connection:
            served = read_served(connection, self._key, document_ids)
            return served, read_parked(connection, self._key, document_ids)

    def served(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, Served]:
        """What is served of those of `document_ids` that were ever served or removed."""
        with reading(self._database, self._subject) as connection:
            return read_served(connection, self._key, document_ids)

    def standings(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, Standing]:
        """The same, as much as a search needs to decide which hits to show."""
        with reading(self._database, self._subject) as connection:
            return read_standings(connection, self._key, document_ids)

    def served_versions(self) -> Iterator[LatestVersion]:
        """The served version of every document that was ever served or removed, by document_id."""
        with reading(self._database, self._subject) as connection:
            yield from iter_versions(connection, self._key)

    def parked(self) -> Mapping[DocumentId, Parked]:
        """All parked versions."""
        with reading(self._database, self._subject) as connection:
            return read_parked(connection, self._key, None)

    def garbage_ids(self) -> bytes:
        """The ids of all chunks in garbage, packed."""
        with reading(self._database, self._subject) as connection:
            return read_garbage_ids(connection, self._key)

    def due_garbage(self, before_us: int) -> DueGarbage:
        """Garbage from before `before_us`, the oldest first, as much as is deleted in one go."""
        with reading(self._database, self._subject) as connection:
            return read_due(connection, self._key, before_us=before_us, max_ids=MAX_DUE_IDS)

    def counts(self) -> BookCounts:
        """How much there is of everything."""
        with reading(self._database, self._subject) as connection:
            return BookCounts(
                *count_served(connection, self._key),
                count_garbage(connection, self._key),
                *count_parked(connection, self._key),
            )

    def commit(
        self,
        bookings_at: Callable[[int], Bookings],
        *,
        now_us: int,
        expected: Position,
        at: Position,
        before_end: Callable[[], None] | None = None,
    ) -> None:
        """Make the bookings of this moment true and move the position from `expected` to `at`, in one transaction.

        `bookings_at` is given the moment: `now_us`, unless the index had a later one.

        Raises:
            GenerationGone: there is no such generation any more; a kind of PositionConflict.
            PositionConflict: the position is not `expected` in a partition that moves.
        """
        with writing(self._database, self._subject) as connection:
            check_generation(connection, self._generation)
            move_position(connection, POSITIONS, {"generation_key": self._key}, expected=expected, at=at)
            bookings = bookings_at(next_moment(connection, self._key, now_us=now_us))
            put_garbage(connection, self._key, bookings.garbage)
            put_served(connection, self._key, bookings.served)
            spare_served(
                connection,
                self._key,
                [(one.document_id, one.version) for one in bookings.served if one.version is not None],
            )
            clear_parked(connection, self._key, bookings.cleared)
            put_parked(connection, self._key, bookings.parked)
            if before_end is not None:
                before_end()

    def forget_garbage(self, due: DueGarbage) -> None:
        """Drop the rows of garbage that was deleted."""
        with writing(self._database, self._subject) as connection:
            forget_garbage(connection, due.keys)


def _sync_every_commit(dbapi_connection: Any, _: object) -> None:
    # Chunks are deleted once the row that puts them in garbage is there: it must not be lost to a power cut.
    dbapi_connection.execute("PRAGMA synchronous = FULL")
