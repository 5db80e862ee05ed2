"""Leases: which process may work on something, until when, kept in SQL so that any number of processes agree.

A lease keeps work from being done twice; it does not make writes safe. A holder that stood still for longer than its
lease may go on writing for a moment: what it writes is refused by the compare-and-set of the position it moves. If
it stopped in the middle of a transaction, its locks would block the next holder, so taking over an expired lease ends
its connections to PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, Table, Text, Update, case, or_, select, text

from projections.sql.clock import MICROS, database_now_us
from projections.sql.databases import session_name
from projections.sql.dialects import insert_absent
from projections.sql.faults import mapped_sql_errors
from projections.sql.transactions import reading, writing

LEASE_TABLES = MetaData()

LEASES = Table(
    "leases",
    LEASE_TABLES,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),  # counts the holders there were
    Column("until_us", BigInteger, nullable=False),  # by the database's clock, the only one that all processes share
)

_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :session AND usename = current_user AND datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a holder has: `token` is greater than that of every holder before."""

    name: str
    holder: str
    token: int


class Leases:
    """Leases, as rows in `database`. Thread-safe.

    Times are those of the database, so that clocks of machines may differ. A lease that was not renewed for
    `duration_s` is free for anyone.

    Args:
        database: Where the table is; it is made if it is missing.
        duration_s: How long a lease holds without being renewed.
    """

    def __init__(self, database: Engine, *, duration_s: float) -> None:
        self.duration_s = duration_s
        self._database = database
        with mapped_sql_errors("open leases", "leases"):
            LEASE_TABLES.create_all(database)

    def take(self, name: str, holder: str) -> Lease | None:
        """The lease on `name` for `holder`; None while another holds it. A holder that takes it again keeps its token.

        Raises:
            TransientError: the database cannot be asked for now.
        """
        with writing(self._database, name, op="take lease") as connection:
            now_us = database_now_us(connection)
            if connection.dialect.name == "postgresql":
                _end_sessions(connection, name, holder, now_us)
            first = {"name": name, "holder": holder, "token": 1, "until_us": self._until_us(now_us)}
            if insert_absent(connection, LEASES, first):
                return Lease(name, holder, 1)
            return self._taken_over(connection, name, holder, now_us)

    def renew(self, lease: Lease) -> bool:
        """Hold `lease` for another `duration_s`; False if it was lost, even if no other has taken it since."""
        with writing(self._database, lease.name, op="renew lease") as connection:
            now_us = database_now_us(connection)
            renewed = _update_of(lease).where(LEASES.c.until_us > now_us).values(until_us=self._until_us(now_us))
            return connection.execute(renewed).rowcount == 1

    def release(self, lease: Lease) -> None:
        """Give `lease` up at once; harmless if it was lost."""
        with writing(self._database, lease.name, op="release lease") as connection:
            connection.execute(_update_of(lease).values(until_us=0))

    def holders(self) -> dict[str, str]:
        """Who holds what now."""
        with reading(self._database, "leases", op="read leases") as connection:
            now_us = database_now_us(connection)
            rows = connection.execute(select(LEASES.c.name, LEASES.c.holder).where(LEASES.c.until_us > now_us))
            return {row.name: row.holder for row in rows}

    def _until_us(self, now_us: int) -> int:
        return now_us + int(self.duration_s * MICROS)

    def _taken_over(self, connection: Connection, name: str, holder: str, now_us: int) -> Lease | None:
        c = LEASES.c
        is_own = (c.holder == holder) & (c.until_us > now_us)
        token = c.token + case((is_own, 0), else_=1)
        free = LEASES.update().where(c.name == name, or_(c.until_us <= now_us, c.holder == holder))
        taken = free.values(holder=holder, token=token, until_us=self._until_us(now_us))
        if connection.execute(taken).rowcount != 1:
            return None
        return Lease(name, holder, int(connection.execute(select(c.token).where(c.name == name)).scalar_one()))


def _end_sessions(connection: Connection, name: str, heir: str, now_us: int) -> None:
    """End the connections of an earlier holder whose lease ran out. One that released it (until_us 0) is alive."""
    c = LEASES.c
    ran_out = (c.name == name) & (c.holder != heir) & (c.until_us > 0) & (c.until_us <= now_us)
    holder = connection.execute(select(c.holder).where(ran_out)).scalar_one_or_none()
    if holder is not None:
        connection.execute(_TERMINATE, {"session": session_name(holder)})


def _update_of(lease: Lease) -> Update:
    is_it = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder) & (LEASES.c.token == lease.token)
    return LEASES.update().where(is_it)
