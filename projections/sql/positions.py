"""Positions in a table: a row per partition, moved by compare-and-set inside the transaction that earns the move."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, select

from projections.fold.view import PositionConflict
from projections.sql.dialects import insert_absent
from schemas.positions import Position, TopicPartition


def stored_position(connection: Connection, table: Table, key: Mapping[str, Any]) -> Position:
    """The position in the rows of `table` under `key`; its other columns are topic, partition and next_offset."""
    rows = connection.execute(_of_key(table, tuple(key)), {f"of_{name}": value for name, value in key.items()})
    return Position({TopicPartition(topic, partition): offset for topic, partition, offset in rows})


def move_position(
    connection: Connection, table: Table, key: Mapping[str, Any], *, expected: Position, at: Position
) -> None:
    """Move the position under `key` from `expected` to `at`; partitions that stay are not looked at.

    Raises:
        PositionConflict: it is not `expected` in a partition that moves.
    """
    if not at.reaches(expected):
        raise ValueError(f"a position does not go back: {expected} to {at}")
    for tp, offset in at.items():
        old = expected.offset(tp)
        if offset != old and not _move(connection, table, {**key, **tp._asdict()}, old=old, new=offset):
            subject = f"{' '.join(map(str, key.values()))} {tp.topic}:{tp.partition}"
            raise PositionConflict(op="write", subject=subject, position=str(expected))


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _of_key(table: Table, names: tuple[str, ...]) -> Select[Any]:
    """Built once: every search asks for a position, and building takes longer than asking."""
    query = select(table.c.topic, table.c.partition, table.c.next_offset)
    return query.where(*(table.c[name] == bindparam(f"of_{name}") for name in names))


def _move(connection: Connection, table: Table, key: Mapping[str, Any], *, old: int, new: int) -> bool:
    if old == 0:
        return insert_absent(connection, table, {**key, "next_offset": new})
    where = [table.c[name] == value for name, value in key.items()]
    update = table.update().where(*where, table.c.next_offset == old).values(next_offset=new)
    return connection.execute(update).rowcount == 1
