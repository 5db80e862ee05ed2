"""Upserts, and that nothing in the SQL views is SQLite's alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from projections.sql.dialects import PARAMETERS_PER_STATEMENT, insert_absent, portions, rows_among, upsert
from projections.sql.store import POSITIONS, VIEWS
from refold.engine.engine import SQL_VIEWS
from tests.servers.sql_views import DATABASES

SCORES = Table(
    "scores",
    MetaData(),
    Column("game", Text, primary_key=True),
    Column("player", Text, primary_key=True),
    Column("points", Integer),
)

ALL_SCORES = select(SCORES)


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened = DATABASES[request.param](tmp_path)
    SCORES.create(opened)
    yield opened
    opened.dispose()


def points_after(engine: Engine, *points: int | None, **merging: Any) -> int | None:
    """What is stored after these were upserted one after the other."""
    with engine.begin() as connection:
        for value in points:
            upsert(connection, SCORES, [{"game": "chess", "player": "ada", "points": value}], **merging)
        return connection.scalar(select(SCORES.c.points))


@pytest.mark.parametrize(
    ("points", "merging", "expected"),
    [
        ((3, 4), {}, 4),
        ((3, None), {}, None),
        ((3, 4), {"added": ["points"]}, 7),
        ((3, 4), {"kept": ["points"]}, 3),
        ((3, None), {"filled": ["points"]}, 3),
        ((None, 4), {"filled": ["points"]}, 4),
        ((3, 4), {"highest": ["points"]}, 4),
        ((4, 3), {"highest": ["points"]}, 4),
    ],
)
def test_a_row_that_is_there_takes_the_new_values_as_told(
    engine: Engine, points: tuple[int | None, ...], merging: dict[str, Any], expected: int | None
) -> None:
    assert points_after(engine, *points, **merging) == expected


def test_other_rows_are_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        upsert(connection, SCORES, [{"game": "go", "player": "ada", "points": 1}])
        upsert(connection, SCORES, [{"game": "chess", "player": p, "points": n} for n, p in enumerate(["ada", "bob"])])
        upsert(connection, SCORES, [])
        rows = connection.execute(select(SCORES).order_by(SCORES.c.game, SCORES.c.player)).all()
    assert rows == [("chess", "ada", 0), ("chess", "bob", 1), ("go", "ada", 1)]


def test_many_rows_arrive_as_they_are(engine: Engine) -> None:
    rows = [
        {"game": "go", "player": "nothing", "points": None},
        {"game": "go", "player": "", "points": 0},
        {"game": "go", "player": 'négative, {quoted} "\\', "points": -1},
        {"game": "go", "player": "large", "points": 2**31 - 1},
    ]
    with engine.begin() as connection:
        upsert(connection, SCORES, [{**row, "points": None} for row in rows])
        upsert(connection, SCORES, rows)
        stored = connection.execute(select(SCORES)).all()
    assert sorted(stored) == sorted([tuple(row.values()) for row in rows])


def test_a_row_that_comes_twice_at_once_is_merged_twice(engine: Engine) -> None:
    rows = [{"game": "go", "player": player, "points": 1} for player in ("ada", "bob", "ada")]
    with engine.begin() as connection:
        upsert(connection, SCORES, rows, added=["points"])
        stored = connection.execute(select(SCORES)).all()
    assert sorted(stored) == [("go", "ada", 2), ("go", "bob", 1)]


def test_a_row_is_inserted_only_where_there_is_none(engine: Engine) -> None:
    with engine.begin() as connection:
        assert insert_absent(connection, SCORES, {"game": "chess", "player": "ada", "points": 3})
        assert not insert_absent(connection, SCORES, {"game": "chess", "player": "ada", "points": 9})
        assert connection.scalar(select(SCORES.c.points)) == 3


def test_portions_are_everything_once() -> None:
    items = list(range(PARAMETERS_PER_STATEMENT * 2 + 1))
    assert [len(portion) for portion in portions(items)] == [PARAMETERS_PER_STATEMENT, PARAMETERS_PER_STATEMENT, 1]
    assert [item for portion in portions(items) for item in portion] == items
    assert list(portions([])) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, PARAMETERS_PER_STATEMENT + 3])
def test_rows_are_found_among_any_number_of_keys_once_each(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        upsert(connection, SCORES, [{"game": "go", "player": f"p{n}", "points": n} for n in range(10)])
        keys = [f"p{n}" for n in range(count)]
        rows = rows_among(connection, ALL_SCORES, SCORES.c.player, keys)
    assert sorted(rows) == [("go", f"p{n}", n) for n in range(min(count, 10))]


@pytest.mark.parametrize("tables", [*(view.tables for view in SQL_VIEWS.values()), lambda _: None])
def test_every_table_and_index_can_be_made_in_postgresql(tables: Any) -> None:
    made = tables(1)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in made.metadata.tables.values() if made else [VIEWS, POSITIONS]:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            statement = str(CreateIndex(index).compile(dialect=dialect))
            assert ("WHERE" in statement) == (index.dialect_options["sqlite"]["where"] is not None)
