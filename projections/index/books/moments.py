"""The moments at which an index switches versions: numbers that only grow, so that searches know before from after.

A moment is the time by the writer's clock in microseconds, yet always later than every moment before it: clocks step
back, and another machine's goes before or behind. A query takes the index's latest moment when it begins; whatever
switches later has a later one. So moments are compared with moments of the same index, never with anybody's clock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from projections.index.books.tables import MOMENTS, SERVED
from projections.sql.dialects import upsert

_LAST: Select[Any] = select(MOMENTS.c.last_us).where(MOMENTS.c.generation_key == bindparam("of_key"))

_LAST_TO_MOVE = _LAST.with_for_update()
"""In PostgreSQL, one writer after the other; in SQLite a transaction that writes is alone anyway."""


def last_moment(connection: Connection, generation_key: int) -> int:
    """The latest moment of a generation; 0 before its first switch."""
    last = connection.execute(_LAST, {"of_key": generation_key}).scalar_one_or_none()
    return _last_served(connection, generation_key) if last is None else int(last)


def next_moment(connection: Connection, generation_key: int, *, now_us: int) -> int:
    """The moment of what this transaction switches: `now_us`, or what is just beyond the latest one."""
    last = connection.execute(_LAST_TO_MOVE, {"of_key": generation_key}).scalar_one_or_none()
    moment = max(now_us, (_last_served(connection, generation_key) if last is None else int(last)) + 1)
    upsert(connection, MOMENTS, [{"generation_key": generation_key, "last_us": moment}])
    return moment


def keep_moments(connection: Connection, generation_key: int) -> None:
    """Write down the latest moment of a generation that an earlier release wrote, which kept it in its rows only."""
    if connection.execute(_LAST, {"of_key": generation_key}).scalar_one_or_none() is None:
        last_us = _last_served(connection, generation_key)
        upsert(connection, MOMENTS, [{"generation_key": generation_key, "last_us": last_us}])


def _last_served(connection: Connection, generation_key: int) -> int:
    query = select(func.max(SERVED.c.switched_at_us)).where(SERVED.c.generation_key == generation_key)
    return int(connection.execute(query).scalar_one() or 0)
