"""Rows by many keys at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Select

from projections.sql.dialects import portions


def rows_among(
    connection: Connection, query: Select[Any], column: ColumnElement[str], keys: Collection[str]
) -> Sequence[tuple[Any, ...]]:
    """The rows of `query`, which binds nothing itself, whose text `column` is one of `keys`; in no order.

    A planner asks for thousands of documents a second, and SQLAlchemy's own way costs as much per key as SQLite's: the
    statement is compiled once for each power of two of keys and run by the driver. `query` should be the same object
    every time. Values come as the driver gives them.
    """
    rows: list[tuple[Any, ...]] = []
    for portion in portions(keys):
        count = 1 << (len(portion) - 1).bit_length()
        names, sql = _lookup(connection.dialect, query, column, count)
        padded = [*portion, *[portion[-1]] * (count - len(portion))]  # asking twice for a key gives its rows once
        parameters: Any = tuple(padded) if names is None else dict(zip(names, padded, strict=True))
        rows += connection.exec_driver_sql(sql, parameters).all()
    return rows


@lru_cache(maxsize=256)
def _lookup(
    dialect: Dialect, query: Select[Any], column: ColumnElement[str], count: int
) -> tuple[Sequence[str] | None, str]:
    """The names of the keys' parameters (None where they go by place), and the statement."""
    asking = query.where(column.in_([""] * count))
    compiled = asking.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return None if compiled.positional else tuple(compiled.params), str(compiled)
