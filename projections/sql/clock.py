"""The clock of the database: the only one that all processes share which write to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from projections.sql.transactions import reading

MICROS: Final = 1_000_000


class DatabaseClock:
    """Now by `database`, in UTC; each call asks it.

    Raises:
        TransientError: it cannot be asked now; of each call.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def __call__(self) -> datetime:
        """Now."""
        with reading(self._database, "database", op="ask the time") as connection:
            return datetime.fromtimestamp(database_now_us(connection) / MICROS, UTC)


def database_now_us(connection: Connection) -> int:
    """The database's clock, in microseconds since the epoch."""
    moment: ColumnElement[Any]
    if connection.dialect.name == "postgresql":
        moment = func.extract("epoch", func.clock_timestamp())
    else:
        moment = (func.julianday("now") - 2_440_587.5) * 86_400.0  # the epoch is Julian day 2,440,587.5
    return int(float(connection.execute(select(moment)).scalar_one()) * MICROS)
