"""Rebuilding a SQL view from the log, beside the one that is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from projections.fold.follower import Follower, Joining
from projections.fold.projection import Projection
from projections.sql.store import HasMetadata
from projections.sql.view import SqlView
from schemas.positions import Position
from streams.log import EventLog

TablesT = TypeVar("TablesT", bound=HasMetadata)
ChangeT = TypeVar("ChangeT")

REBUILD_JOINING = Joining(max_changes=5_000)
"""Larger batches than live, for nobody waits for them: fewer commits, and a document's events meet in one."""


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
