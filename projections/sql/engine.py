"""Engines for SQL views."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from projections.sql.dialects import WRITES
from projections.sql.postgres_connections import PostgresConnections

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another; longer than the largest batch takes."""

CACHE_KIB = 2 * 1024
"""Page cache per connection, of which there are a dozen and more: beyond it the system's page cache serves."""

CHECKPOINT_PAGES = 4_000
"""Pages (16 MiB) the write-ahead log grows before it is folded into the file, which is what syncs the disk."""

POOL_SIZE = 2
"""Connections kept per engine: its runner's, and one for what is asked meanwhile."""

POOL_OVERFLOW = 6
"""Connections beside them while more is asked at once. A process has an engine per view and one for the indexes, and a
server takes 100 connections by default."""

POOL_WAIT_S = 30.0
"""How long to wait for a connection before it is tried again later."""

_PRAGMAS = (
    f"PRAGMA cache_size = -{CACHE_KIB}",
    "PRAGMA secure_delete = OFF",  # what must be erased are artifacts; uris stay in the log anyway
)
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # a power cut may lose the last commits, never consistency: the log has them
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
)


def open_sqlite(path: Path, *, read_only: bool = False) -> Engine:
    """An engine for the SQLite file at `path`, which is created unless `read_only`; connects at first use.

    Readers in this and other processes go on while one writes. A transaction is a snapshot.
    """
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={'ro' if read_only else 'rwc'}"

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver begins nothing by itself, `_begin` does.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        for pragma in _PRAGMAS if read_only else (*_PRAGMAS, *_WRITER_PRAGMAS):
            connection.execute(pragma)
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return engine


def open_postgres(url: str, *, schema: str, read_only: bool = False) -> Engine:
    """An engine for `schema` of the PostgreSQL database at `url`; connects at first use.

    All that is read and written is in that schema, which is made unless `read_only`: one per corpus. It may be dropped,
    for views are made again from the log. A transaction sees what others have committed by each of its statements,
    unless it asks for one snapshot (`projections/sql/dialects.py`).

    Args:
        url: ``postgresql://user:password@host:5432/database?sslmode=verify-full``, as libpq knows it.
        schema: At most 63 letters, digits, ``_`` and ``-``, no digit first.
        read_only: The server refuses to write.

    Raises:
        UsageError: the extra `postgres` is not installed, or `url` or `schema` cannot be.
    """
    return create_engine(
        "postgresql+psycopg://",
        creator=PostgresConnections(url, schema, read_only=read_only),
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_S,
        pool_use_lifo=True,  # so that those not needed fall idle
        isolation_level="READ COMMITTED",
    )


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    is_writing = all(options.get(name) == value for name, value in WRITES.items())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
