"""How far a projection is that another process keeps up to date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from projections.fold.progress import ProjectionStatus
from projections.fold.projection import Projection
from projections.fold.view import View
from schemas.errors import TransientError
from schemas.positions import Position
from streams.log import EventLog, PositionExpired


def status_of(
    view: View[Any, Any], projection: Projection[Any], log: EventLog, *, clock: Callable[[], datetime]
) -> ProjectionStatus:
    """The status as far as it shows from outside: no heartbeat, and the lag in seconds by the log.

    `lag_s` is the age of the oldest event that is not applied, and 0 at the head. `error` says why that event cannot be
    read: what the log has lost, or a transaction that somebody has left open.
    """
    partitions = [tp for topic in projection.topics for tp in log.partitions(topic)]
    position, head = view.position(), log.end(partitions)
    lag_events = sum(max(offset - position.offset(tp), 0) for tp, offset in head.items())
    oldest, error = None, None
    try:
        oldest = _oldest_after(position, head, log) if lag_events else None
    except (PositionExpired, TransientError) as exc:
        error = exc
    return ProjectionStatus(
        name=projection.name,
        position=position,
        head=head,
        lag_events=lag_events,
        lag_s=max((clock() - oldest).total_seconds(), 0.0) if oldest is not None else 0.0,
        heartbeat_at=None,
        error=error,
        is_stopped=False,
    )


def _oldest_after(position: Position, head: Position, log: EventLog) -> datetime | None:
    """When the first event happened that lies beyond `position`; None where commit markers alone do."""
    behind = [tp for tp, offset in head.items() if offset > position.offset(tp)]
    firsts = []
    for tp in behind:
        for batch in log.read([tp], position):
            if batch.recorded:
                firsts.append(batch.recorded[0].event.meta.occurred_at)
                break
    return min(firsts, default=None)
