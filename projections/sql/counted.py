"""How far sums were counted, kept beside them: a view whose position was set back counts nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table

from projections.sql.dialects import upsert


class Placed(Protocol):
    """A change that knows its event's place in a topic."""

    @property
    def partition(self) -> int:
        """The partition."""

    @property
    def offset(self) -> int:
        """The offset in it."""


PlacedT = TypeVar("PlacedT", bound=Placed)


def counted_table(name: str, metadata: MetaData) -> Table:
    """A row per partition of the one topic that is counted."""
    return Table(
        name,
        metadata,
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("next_offset", BigInteger, nullable=False),
    )


def not_counted(connection: Connection, table: Table, changes: Sequence[PlacedT]) -> list[PlacedT]:
    """Those of `changes` that were not counted before; from now on, in this transaction, they are.

    An event's changes come together, and events of a partition in their order.
    """
    if not changes:
        return []
    counted = {row.partition: row.next_offset for row in connection.execute(table.select())}
    new = [change for change in changes if change.offset >= counted.get(change.partition, 0)]
    ends = {change.partition: change.offset + 1 for change in new}
    rows = [{"partition": partition, "next_offset": end} for partition, end in ends.items()]
    upsert(connection, table, rows, highest=["next_offset"])
    return new
