"""A view in SQL tables: what manifest, jobs and stage results have in common; and how it is rebuilt from the log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, ClassVar, Generic, Self, TypeVar

from sqlalchemy import Engine

from projections.fold.follower import Follower, Joining
from projections.fold.projection import Projection
from projections.sql.store import HasMetadata, Snapshot, ViewStore
from schemas.positions import Position
from streams.log import EventLog

TablesT = TypeVar("TablesT", bound=HasMetadata)
ChangeT = TypeVar("ChangeT")

REBUILD_JOINING = Joining(max_changes=5_000)
"""Larger batches than a runner's, because nobody waits: fewer commits, and a document's events meet in one."""


class SqlView(Generic[TablesT, ChangeT]):
    """Rows and position in one transaction, rebuilt in new tables and swapped.

    Written by one runner; read from any thread and, with `is_read_only`, from other processes, while it is written.
    Each method of a view answers from one snapshot.

    Args:
        database: An engine of SQLAlchemy's (`projections/sql/databases.py`); the view closes it.
        log_id: Of the log that is folded; a view made from another log is outdated.
        is_read_only: Creates nothing.
    """

    projection: ClassVar[Projection[Any]]
    """Names the view and the version of what is in it."""

    def __init__(self, database: Engine, *, log_id: str, is_read_only: bool = False) -> None:
        self._store: ViewStore[TablesT] = ViewStore(
            database,
            name=self.projection.name,
            version=self.projection.version,
            log_id=log_id,
            tables=self.tables,
            is_read_only=is_read_only,
        )

    @staticmethod
    @abstractmethod
    def tables(generation: int) -> Any:
        """The tables of a generation, `TablesT`."""

    def position(self) -> Position:
        """How far the log is in this view."""
        return self._store.position()

    def apply(self, changes: Sequence[ChangeT], expected: Position, at: Position) -> None:
        """Apply `changes` and move the position from `expected` to `at`, in one transaction; see the port."""
        with self._store.write(expected=expected, at=at) as snapshot:
            if changes:
                self._write(snapshot, changes)

    @abstractmethod
    def _write(self, snapshot: Snapshot[TablesT], changes: Sequence[ChangeT]) -> None:
        """Write what `changes`, at least one, mean."""

    @abstractmethod
    def scan(self) -> Iterator[Any]:
        """What is really there."""

    @property
    def is_outdated(self) -> bool:
        """Whether it has to be rebuilt before it can be read or go on."""
        return self._store.is_outdated

    def build_beside(self) -> Self:
        """The same view over new, empty tables, which nobody reads before `swap_in`."""
        beside = copy(self)
        beside._store = self._store.build_beside()  # noqa: SLF001 - of the same class
        return beside

    def swap_in(self, beside: Self, *, log_end: Position) -> bool:
        """Serve what `beside` has built; False while that has not reached this view's position (see the store)."""
        return self._store.swap_in(beside._store, log_end=log_end)

    def close(self) -> None:
        """Let go of all connections; idempotent."""
        self._store.close()


def rebuild_sql_view(
    log: EventLog,
    projection: Projection[ChangeT],
    view: SqlView[TablesT, ChangeT],
    *,
    went_on: Callable[[], object] = lambda: None,
) -> Position:
    """Fold the whole log into new tables, serve them instead of the old ones, and return their position.

    The old tables are read, and written by a runner, until the swap; it waits until the new ones have reached their
    position. A runner notices by a PositionConflict at its next write and goes on from the new position. A rebuild that
    was cut short leaves tables that the next one drops. `went_on` is called batch by batch.
    """
    beside = view.build_beside()
    follower = Follower(log, projection, beside, joining=REBUILD_JOINING)
    while True:
        reached = follower.catch_up(went_on=went_on)
        if view.swap_in(beside, log_end=log.end(follower.partitions)):
            return reached
