"""Connections to one schema of a PostgreSQL database."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING, Any

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
"""How long a transaction may pause: longer than a reader of a whole view takes over one portion. A process that was
stopped or cut off holds its locks no longer than that."""

SILENCE_S = 20
"""After this long without a word from the server, the operating system asks whether it is there."""

_ADDRESS = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://(.*)", re.DOTALL)
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_CREATE_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(hashtext('refold'), hashtext(%s))"


class PostgresConnections:
    """Each call makes a connection in whose eyes the database at `url` is `schema` alone.

    The first one makes the schema unless `read_only`, where the server refuses to write.

    Raises:
        UsageError: the extra `postgres` is not installed, or `url` or `schema` cannot be.
    """

    def __init__(self, url: str, schema: str, *, read_only: bool) -> None:
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
            "application_name": "refold",
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
