"""All that differs between SQLite and PostgreSQL; everything else in `projections` is SQLAlchemy Core for both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, Text, case, func
from sqlalchemy.dialects import postgresql, sqlite

PARAMETERS_PER_STATEMENT = 10_000
"""Below SQLite's limit of 32,766 bound values in its default build, and PostgreSQL's of 65,535."""

SCAN_ROWS = 1_000
"""Rows fetched at a time by a scan: a few MB at the most."""

SORTED_TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that sorts by code point in both, so that a prefix is a range."""

AFTER_EVERY_TEXT = "\U0010ffff"
"""Appended to a prefix, it ends the range of texts that begin with the prefix."""

WRITES = {"refold_writes": True}
"""Execution option of a transaction that writes: in SQLite it takes the write lock when it begins, for a transaction
that read first and writes later is refused if another wrote in between."""

READS: Mapping[str, Mapping[str, Any]] = {
    "sqlite": {},  # a read transaction is a snapshot
    "postgresql": {"isolation_level": "REPEATABLE READ"},
}
"""Execution options of a transaction that reads one snapshot, by dialect."""

ItemT = TypeVar("ItemT")

_INSERTS: Mapping[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def portions(items: Collection[ItemT]) -> Iterator[list[ItemT]]:
    """`items` in lists short enough to be bound to one statement."""
    remaining = iter(items)
    while portion := list(islice(remaining, PARAMETERS_PER_STATEMENT)):
        yield portion


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    added: Collection[str] = (),
    kept: Collection[str] = (),
    filled: Collection[str] = (),
    highest: Collection[str] = (),
) -> None:
    """Insert `rows`, all with the same columns; a row whose primary key is there already takes the new values.

    Of such a row, columns in `added` are summed, those in `kept` stay as they were, those in `filled` take the new
    value only if it is not null, and those in `highest` only if it is greater.
    """
    if not rows:
        return
    insert = _INSERTS[connection.dialect.name](table)
    keys = {column.name for column in table.primary_key}
    changes: dict[str, Any] = {}
    for name in rows[0]:
        old, new = table.c[name], insert.excluded[name]
        if name in added:
            changes[name] = old + new
        elif name in filled:
            changes[name] = func.coalesce(new, old)
        elif name in highest:
            changes[name] = _greatest(old, new)
        elif name not in keys and name not in kept:
            changes[name] = new
    index = list(table.primary_key)
    if changes:
        connection.execute(insert.on_conflict_do_update(index_elements=index, set_=changes), list(rows))
    else:
        connection.execute(insert.on_conflict_do_nothing(index_elements=index), list(rows))


def insert_absent(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert `row`; False, and nothing done, if its primary key is there already."""
    insert = _INSERTS[connection.dialect.name](table)
    done = connection.execute(insert.on_conflict_do_nothing(index_elements=list(table.primary_key)), [dict(row)])
    return done.rowcount == 1


def _greatest(old: ColumnElement[Any], new: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((new > old, new), else_=old)
