"""Drivers' exceptions, translated to the errors of refold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, ResourceClosedError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from projections.sql.postgres_faults import postgres_fault
from schemas.errors import DataFolderDamaged, DiskFull, FatalError, MachineError, RefoldError, TransientError

_PRIMARY_CODE = 0xFF  # an extended result code of SQLite carries the primary one in its lowest byte

SQLITE_FAULTS: dict[int, tuple[type[RefoldError], str]] = {
    sqlite3.SQLITE_BUSY: (TransientError, "another process is writing; it is tried again"),
    sqlite3.SQLITE_LOCKED: (TransientError, "another process is writing; it is tried again"),
    sqlite3.SQLITE_FULL: (DiskFull, "make space, then run the command again"),
    sqlite3.SQLITE_CORRUPT: (DataFolderDamaged, "delete the folder's views/ and run: refold rebuild all"),
    sqlite3.SQLITE_NOTADB: (DataFolderDamaged, "delete the folder's views/ and run: refold rebuild all"),
    sqlite3.SQLITE_READONLY: (MachineError, "make the data folder writable"),
    sqlite3.SQLITE_CANTOPEN: (MachineError, "check that the data folder exists and may be read and written"),
    sqlite3.SQLITE_PERM: (MachineError, "check that the data folder may be read and written"),
    sqlite3.SQLITE_AUTH: (MachineError, "check that the data folder may be read and written"),
    sqlite3.SQLITE_IOERR: (MachineError, "check the disk: reading or writing it failed"),
    sqlite3.SQLITE_NOMEM: (MachineError, "free some memory"),
    sqlite3.SQLITE_PROTOCOL: (MachineError, "check the file system: its locks do not work"),
    sqlite3.SQLITE_NOLFS: (MachineError, "check the file system: it has no large files"),
    sqlite3.SQLITE_TOOBIG: (FatalError, "a value is larger than SQLite stores"),
}
"""What SQLite's primary result codes mean here; any other code is a fault of our own and becomes FatalError."""


@contextmanager
def mapped_sql_errors(op: str, subject: str) -> Iterator[None]:
    """Errors of SQLAlchemy and its drivers leave as errors of refold."""
    try:
        yield
    except PoolTimeout as exc:
        raise TransientError("no connection came free", op=op, subject=subject) from exc
    except ResourceClosedError as exc:
        raise FatalError("the view was closed meanwhile", op=op, subject=subject) from exc
    except DBAPIError as exc:
        raise _fault(exc, op=op, subject=subject) from exc
    except SQLAlchemyError as exc:
        raise FatalError(str(exc), op=op, subject=subject) from exc


def _fault(exc: DBAPIError, *, op: str, subject: str) -> RefoldError:
    known: tuple[type[RefoldError], str | None] | None
    if isinstance(exc.orig, sqlite3.Error):
        code = getattr(exc.orig, "sqlite_errorcode", None)  # the driver's own complaints have none
        known = SQLITE_FAULTS.get((code or 0) & _PRIMARY_CODE)
    else:
        is_gone = isinstance(exc, OperationalError) or exc.connection_invalidated
        known = postgres_fault(getattr(exc.orig, "sqlstate", None), is_operational=is_gone)
    kind, hint = known or (FatalError, None)
    message = " ".join(str(exc.orig).split())  # PostgreSQL's have several lines
    return kind(f"{subject}: {message}", op=op, subject=subject, hint=hint)
