"""What tests of SQL views share: the databases they run on, applying a history, and reading every row."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, MetaData, inspect, select

from projections.fold.projection import Projection
from projections.sql.databases import open_postgres, open_sqlite
from projections.sql.view import SqlView
from refold.engine.engine import SQL_VIEWS
from schemas.positions import Position
from streams.log import Recorded
from tests.samples.histories import position_after
from tests.servers.run import address_of


class OpenDatabase(Protocol):
    """Opens the database that belongs to a folder, the same one each time."""

    def __call__(self, folder: Path, *, read_only: bool = False) -> Engine:
        """An engine for it."""


def open_postgres_of(folder: Path, *, read_only: bool = False, owner: str | None = None) -> Engine:
    """A schema on the server, dropped when the tests end."""
    address = address_of("postgres")
    schema = f"test_{sha256(os.fsencode(folder)).hexdigest()[:24]}"
    SCHEMAS_MADE.setdefault(schema, address)
    return open_postgres(address, schema=schema, read_only=read_only, owner=owner)


SCHEMAS_MADE: dict[str, str] = {}
"""Schemas that tests of this process made, with the address of their server."""

DATABASES: dict[str, OpenDatabase] = {
    "sqlite": lambda folder, *, read_only=False: open_sqlite(folder / "view.sqlite", read_only=read_only),
    "postgres": open_postgres_of,
}
"""A fresh database for each folder, by name."""


def drop_schemas() -> None:
    """Drop what was made on servers."""
    for schema, address in SCHEMAS_MADE.items():
        engine = open_postgres(address, schema=schema)
        with engine.begin() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA "{schema}" CASCADE')
        engine.dispose()


VIEWS: dict[str, tuple[Projection[Any], Callable[..., SqlView[Any, Any]]]] = {
    name: (view.projection, view) for name, view in SQL_VIEWS.items()
}
"""Every projection with its SQL view."""


def apply(
    view: SqlView[Any, Any],
    projection: Projection[Any],
    recorded: Sequence[Recorded],
    *,
    cuts: Collection[int] = (),
) -> Position:
    """Apply `recorded` to `view`, which stands right before it, in batches that end at `cuts` and at the end."""
    position = view.position()
    edges = sorted({0, *cuts, len(recorded)})
    for start, stop in pairwise(edges):
        batch = [r for r in recorded[start:stop] if r.topic in projection.topics]
        at = position_after(batch, since=position)
        view.apply([change for r in batch for change in projection.changes(r)], position, at)
        position = at
    return position


def rows_of(engine: Engine, view: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables of `view`, by table name without the generation, and its positions."""
    with engine.connect() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        generation = connection.exec_driver_sql(f"SELECT generation FROM sql_views WHERE view = '{view}'").scalar_one()  # noqa: S608
        prefix = f"{view}_{generation}_"
        rows = {
            name.removeprefix(prefix): sorted(map(tuple, connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
            if name.startswith(prefix)
        }
        positions = metadata.tables["sql_positions"]
        where = (positions.c.view == view) & (positions.c.generation == generation)
        rows["positions"] = sorted(
            map(
                tuple,
                connection.execute(
                    select(positions.c.topic, positions.c.partition, positions.c.next_offset).where(where)
                ),
            )
        )
        return rows


def tables_of(engine: Engine, view: str) -> list[str]:
    """The names of all tables of `view`, of whatever generation."""
    return sorted(name for name in inspect(engine).get_table_names() if name.startswith(f"{view}_"))
