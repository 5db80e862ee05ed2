"""Databases for SQL views: a SQLite file, or connections to one schema of PostgreSQL."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from projections.sql.dialects import WRITES
from schemas.errors import UsageError

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 10
"""How long a server may take to answer at all."""

LOCK_TIMEOUT_S = 30
"""How long a writer waits for another; longer than the largest batch takes."""

STATEMENT_TIMEOUT_S = 120
"""How long one statement may take: longer than any over a million documents, shorter than for ever."""

PAUSE_TIMEOUT_S = 900
"""How long a transaction may pause: longer than a reader of a whole view takes over one portion. A stopped process
keeps its locks that long. If it stopped within a pipelined batch it keeps them without limit, as the server does not
count that as a pause. Taking over an expired lease ends both at once (`projections/sql/leases.py`)."""

SILENCE_S = 20
"""After this long without a word from the server, the operating system asks whether it is there."""

_ADDRESS = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://(.*)", re.DOTALL)
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_CREATE_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(hashtext('refold'), hashtext(%s))"


def session_name(owner: str | None) -> str:
    """What the server lists the connections of `owner` as. It keeps 63 bytes, so an owner has at most 56."""
    return f"refold {owner}" if owner else "refold"


class PostgresConnections:
    """Each call makes a connection in whose eyes the database at `url` is `schema` alone.

    The first one makes the schema unless `read_only`, where the server refuses to write. The server lists them under
    `session_name(owner)`.

    Raises:
        UsageError: the extra `postgres` is not installed, or `url` or `schema` cannot be.
    """

    def __init__(self, url: str, schema: str, *, read_only: bool, owner: str | None = None) -> None:
        self._conninfo = _conninfo(url)
        self._schema = _checked(schema)
        self._lock = Lock()
        self._is_made = read_only
        self._options: dict[str, Any] = {
            "options": _options(schema, read_only=read_only),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "keepalives_idle": SILENCE_S,
            "keepalives_interval": SILENCE_S // 4,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 2 * 1_000,
            "application_name": session_name(owner),
        }

    def __call__(self) -> psycopg.Connection[Any]:
        """A new connection; its errors are the driver's, which SQLAlchemy wraps."""
        driver = _driver()
        connection: psycopg.Connection[Any] = driver.connect(self._conninfo, **self._options)
        try:
            self._make_schema(connection)
        except driver.Error:
            connection.close()
            raise
        return connection

    def _make_schema(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            if self._is_made:
                return
            with connection.transaction():
                # IF NOT EXISTS fails where two make the same at once.
                connection.execute(_CREATE_SCHEMA_LOCK, [self._schema])
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"'.encode())
            self._is_made = True


def _options(schema: str, *, read_only: bool) -> str:
    settings = {
        "search_path": f'"{schema}"',
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
        "idle_in_transaction_session_timeout": f"{PAUSE_TIMEOUT_S}s",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _conninfo(url: str) -> str:
    driver = _driver()
    found = _ADDRESS.fullmatch(url)
    conninfo = f"postgresql://{found[1]}" if found else url
    try:
        driver.conninfo.conninfo_to_dict(conninfo)
    except driver.ProgrammingError as exc:
        raise _bad_url() from exc
    if found is None:
        raise _bad_url()
    return conninfo


def _bad_url() -> UsageError:
    return UsageError(
        "the address of the PostgreSQL server is not one",  # it may hold a password, so it is not shown
        op="open views",
        subject="postgres",
        hint="write it like postgresql://user:password@host:5432/database",
    )


def _checked(schema: str) -> str:
    if _SCHEMA.fullmatch(schema) is None:
        raise UsageError(
            f"{schema!r} cannot name a schema of PostgreSQL",
            op="open views",
            subject=schema,
            hint="use at most 63 letters, digits, _ and -, and no digit first",
        )
    return schema


def _driver() -> Any:
    try:
        import psycopg  # noqa: PLC0415 - of the extra `postgres`, which the core does without
    except ImportError as exc:
        raise UsageError(
            "PostgreSQL needs its driver", op="open views", subject="postgres", hint="pip install 'refold[postgres]'"
        ) from exc
    return psycopg


BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another; longer than the largest batch takes."""

CACHE_KIB = 2 * 1024
"""Page cache per connection, of which there are a dozen and more: beyond it the system's page cache serves."""

CHECKPOINT_PAGES = 4_000
"""Pages (16 MiB) the write-ahead log grows before it is folded into the file, which is what syncs the disk."""

POOL_SIZE = 2
"""Connections kept per engine: its runner's, and one for queries at the same time."""

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


def open_postgres(url: str, *, schema: str, read_only: bool = False, owner: str | None = None) -> Engine:
    """An engine for `schema` of the PostgreSQL database at `url`; connects at first use.

    All that is read and written is in that schema, which is made unless `read_only`: one per corpus. It may be dropped,
    for views are made again from the log. A transaction sees what others have committed by each of its statements,
    unless it asks for one snapshot (`projections/sql/dialects.py`).

    Args:
        url: ``postgresql://user:password@host:5432/database?sslmode=verify-full``, as libpq knows it.
        schema: At most 63 letters, digits, ``_`` and ``-``, no digit first.
        read_only: The server refuses to write.
        owner: The holder of leases whose connections these are. When one of its leases runs out and another process
            takes it over, the server ends them.

    Raises:
        UsageError: the extra `postgres` is not installed, or `url` or `schema` cannot be.
    """
    return create_engine(
        "postgresql+psycopg://",
        creator=PostgresConnections(url, schema, read_only=read_only, owner=owner),
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
