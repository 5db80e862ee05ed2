"""All that differs between SQLite and PostgreSQL; everything else in `projections` is SQLAlchemy Core for both."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Compiled,
    Connection,
    Dialect,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    case,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

PARAMETERS_PER_STATEMENT = 8_192
"""A power of two, below SQLite's limit of 32,766 bound values in its default build, and PostgreSQL's of 65,535."""

SCAN_ROWS = 1_000
"""Rows fetched at a time by a scan: a few MB at the most."""

SORTED_TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that sorts by code point in both, so that a prefix is a range."""

LARGE_KEY = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives to each row; only an INTEGER is given one by SQLite, and it holds as much."""

AFTER_EVERY_TEXT = "\U0010ffff"
"""Appended to a prefix, it ends the range of texts that begin with the prefix."""

WRITES = {"refold_writes": True}
"""Execution option of a transaction that writes: in SQLite it takes the write lock when it begins, because a
transaction that read first and writes later is refused if another wrote in between."""

READS: Mapping[str, Mapping[str, Any]] = {
    "sqlite": {},  # a read transaction is a snapshot
    "postgresql": {"isolation_level": "REPEATABLE READ"},
}
"""Execution options of a transaction that reads one snapshot, by dialect."""

INDEXED_CHARACTERS = 600
"""Of texts of any length, what PostgreSQL's indexes hold: rows of 2,704 bytes, characters of up to four."""

NUL_SHOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for the character NUL in PostgreSQL, whose text cannot hold it; messages and titles may contain one."""

_ONE_AT_A_TIME: Mapping[str, str | None] = {
    "sqlite": None,  # a transaction with WRITES is alone anyway
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('refold'), hashtext(current_schema()))",
}
_IS_IN_USE = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = to_regclass(%(name)s)
    AND pid <> pg_backend_pid()
)
"""

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


def lock_schema(connection: Connection) -> None:
    """Be the only transaction on this schema that called this, until it ends.

    Taken before creating tables: PostgreSQL's ``IF NOT EXISTS`` fails where two create the same at once.
    """
    statement = _ONE_AT_A_TIME[connection.dialect.name]
    if statement is not None:
        connection.exec_driver_sql(statement)


def beginning(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What PostgreSQL's indexes hold of a text of any length; sorts like the text, as far as it goes."""
    return func.left(column, INDEXED_CHARACTERS)


def by_beginning(dialect: Dialect, column: ColumnElement[Any], text: str) -> tuple[ColumnElement[Any], str]:
    """`column` and `text` for a comparison that an index answers, beside the exact one."""
    if dialect.name != "postgresql":
        return column, text
    return beginning(column), text[:INDEXED_CHARACTERS]


def sorted_by(dialect: Dialect, column: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """What orders by `column` and is answered by an index."""
    return [beginning(column), column] if dialect.name == "postgresql" else [column]


def is_in_use(connection: Connection, table: str) -> bool:
    """Whether others hold on to `table` so that dropping it would have to wait for them; never so in SQLite."""
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.exec_driver_sql(_IS_IN_USE, {"name": table}).scalar_one())


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
    value only if it is not null, and those in `highest` only if it is greater. Values are bound as they are.
    """
    if not rows:
        return
    merging = _Merging(tuple(added), tuple(kept), tuple(filled), tuple(highest))
    names = tuple(rows[0])
    if _can_go_as_columns(connection.dialect, table, rows):
        sql = _columns_statement(connection.dialect, table, names, merging)
        connection.exec_driver_sql(sql, {name: _column_of(rows, name) for name in names})
    else:
        _run(connection, _upsert_statement(connection.dialect, table, names, merging), rows)


def insert_absent(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert `row`; False, and nothing done, if its primary key is there already."""
    insert = _INSERTS[connection.dialect.name](table).on_conflict_do_nothing(index_elements=list(table.primary_key))
    # SQLAlchemy keeps the row count of an insert only when told to.
    return connection.execute(insert.execution_options(preserve_rowcount=True), dict(row)).rowcount == 1


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


class _Merging(NamedTuple):
    added: tuple[str, ...]
    kept: tuple[str, ...]
    filled: tuple[str, ...]
    highest: tuple[str, ...]


@lru_cache(maxsize=256)
def _upsert_statement(dialect: Dialect, table: Table, names: tuple[str, ...], merging: _Merging) -> Compiled:
    # Compiled once and run by the driver: SQLAlchemy's own way costs as much per row as SQLite's.
    statement = _merged(table, _INSERTS[dialect.name](table), names, merging)
    return statement.compile(dialect=dialect, column_keys=list(names))


@lru_cache(maxsize=256)
def _columns_statement(dialect: Dialect, table: Table, names: tuple[str, ...], merging: _Merging) -> str:
    """One statement for any number of rows, whose columns are bound as arrays."""
    insert = _INSERTS[dialect.name](table).from_select(list(names), _columns_bound(table, names))
    sql = str(_merged(table, insert, names, merging).compile(dialect=dialect))
    return re.sub(r"%\((\w+)\)s", r"%(\1)b", sql)  # in binary: as text, a list costs the driver twenty times as much


@lru_cache(maxsize=256)
def _lookup(
    dialect: Dialect, query: Select[Any], column: ColumnElement[str], count: int
) -> tuple[Sequence[str] | None, str]:
    """The names of the keys' parameters (None where they go by place), and the statement."""
    asking = query.where(column.in_([""] * count))
    compiled = asking.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return None if compiled.positional else tuple(compiled.params), str(compiled)


def _columns_bound(table: Table, names: Sequence[str]) -> Select[Any]:
    types = {name: table.c[name].type for name in names}
    arrays = [
        bindparam(name, type_=postgresql.ARRAY(Text() if isinstance(kind, Text) else kind))  # without its collation
        for name, kind in types.items()
    ]
    return select(*func.unnest(*arrays).table_valued(*names).render_derived(name="given").c)


def _can_go_as_columns(dialect: Dialect, table: Table, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether `rows` can be one statement, which cannot change a row twice.

    Both sides need several times as long for a statement per row, which is all that SQLite knows.
    """
    if dialect.name != "postgresql" or len(rows) == 1:
        return False
    key = [column.name for column in table.primary_key]
    return len({tuple([row[name] for name in key]) for row in rows}) == len(rows)


def _column_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    values = [row[name] for row in rows]
    return [value.replace("\0", NUL_SHOWN) if isinstance(value, str) else value for value in values]


def _merged(
    table: Table, insert: sqlite.Insert | postgresql.Insert, names: Sequence[str], merging: _Merging
) -> sqlite.Insert | postgresql.Insert:
    """`insert`, with what happens to a row that is there already."""
    changes = {name: change for name in names if (change := _change(table, insert, name, merging)) is not None}
    index = list(table.primary_key)
    if changes:
        return insert.on_conflict_do_update(index_elements=index, set_=changes)
    return insert.on_conflict_do_nothing(index_elements=index)


def _change(
    table: Table, insert: sqlite.Insert | postgresql.Insert, name: str, merging: _Merging
) -> ColumnElement[Any] | None:
    old, new = table.c[name], insert.excluded[name]
    if name in merging.added:
        return old + new
    if name in merging.filled:
        return func.coalesce(new, old)
    if name in merging.highest:
        return case((new > old, new), else_=old)
    return None if table.c[name].primary_key or name in merging.kept else new


def _run(connection: Connection, compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> None:
    names = compiled.positiontup if isinstance(compiled, SQLCompiler) else None
    if names is None:
        connection.exec_driver_sql(str(compiled), [_without_nul(row) for row in rows])
    else:
        connection.exec_driver_sql(str(compiled), [tuple([row[name] for name in names]) for row in rows])


def _without_nul(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace("\0", NUL_SHOWN) if isinstance(value, str) and "\0" in value else value
        for name, value in row.items()
    }
