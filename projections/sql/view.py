"""A view in SQL tables: what all of them have in common; and how it is rebuilt from the log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Engine

from projections.fold.follower import Follower, Joining
from projections.fold.projection import Projection
from projections.sql.store import HasMetadata, Snapshot, ViewStore
from schemas.positions import Position
from streams.log import EventLog

TablesT = TypeVar("TablesT", bound=HasMetadata)
ChangeT = TypeVar("ChangeT")
AnswerT = TypeVar("AnswerT")
AskedP = ParamSpec("AskedP")

REBUILD_JOINING = Joining(max_changes=5_000)
"""Larger batches than a runner's, because no caller waits: fewer commits, and a document's events meet in one."""


class SqlView(ViewStore[TablesT], Generic[TablesT, ChangeT]):
    """Rows and position in one transaction, rebuilt in new tables and swapped.

    Written by one runner; read from any thread and, with `is_read_only`, from other processes, while it is written.
    Each method of a view answers from one snapshot; most are queries made methods by `answers`.

    Args:
        database: An engine of SQLAlchemy's (`projections/sql/databases.py`); the view closes it.
        log_id: Of the log that is folded; a view made from another log is outdated.
        is_read_only: Creates nothing.
    """

    projection: ClassVar[Projection[Any]]
    """Names the view and the version of what is in it."""

    def __init__(self, database: Engine, *, log_id: str, is_read_only: bool = False) -> None:
        super().__init__(
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

    def apply(self, changes: Sequence[ChangeT], expected: Position, at: Position) -> None:
        """Apply `changes` and move the position from `expected` to `at`, in one transaction; see the port."""
        with self.write(expected=expected, at=at) as snapshot:
            if changes:
                self._write(snapshot, changes)

    @abstractmethod
    def _write(self, snapshot: Snapshot[TablesT], changes: Sequence[ChangeT]) -> None:
        """Write what `changes`, at least one, mean."""

    @abstractmethod
    def scan(self) -> Iterator[Any]:
        """What is really there."""


def answers(
    query: Callable[Concatenate[Snapshot[TablesT], AskedP], AnswerT],
) -> Callable[Concatenate[SqlView[TablesT, Any], AskedP], AnswerT]:
    """The method of a view that answers `query` from a snapshot of its own."""

    @wraps(query)
    def answer(view: SqlView[TablesT, Any], /, *args: AskedP.args, **kwargs: AskedP.kwargs) -> AnswerT:
        with view.read() as snapshot:
            return query(snapshot, *args, **kwargs)

    return answer


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
