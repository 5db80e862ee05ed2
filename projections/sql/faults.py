"""Drivers' exceptions, translated to the errors of refold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, ResourceClosedError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from projections.fold.view import GenerationGone
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

_AWAY = (TransientError, "check that the PostgreSQL server runs and can be reached; it is tried again")
_BUSY = (TransientError, "another process is writing; it is tried again")
_SCARCE = (TransientError, "give the PostgreSQL server more memory or connections; it is tried again")
_REFUSED = (MachineError, "check the user, the database and its rights: the role must be able to create a schema")
_DAMAGED = (DataFolderDamaged, "drop the corpus's schema in PostgreSQL and run: refold rebuild all")

POSTGRES_FAULTS: dict[str, tuple[type[RefoldError], str | None]] = {
    # Of a class, by its two characters; of one state, by all five, which goes first.
    "08": _AWAY,
    "0B": _AWAY,
    "0L": _REFUSED,
    "0P": _REFUSED,
    "25006": (MachineError, "write to the primary: this PostgreSQL server, or this engine, is for reading only"),
    "25P03": (TransientError, "the transaction paused for too long; it is tried again"),
    "25P04": (TransientError, "the transaction took too long; it is tried again"),
    "28": _REFUSED,
    "3D": _REFUSED,
    "3F": _REFUSED,
    "23503": (GenerationGone, None),  # the one foreign key: the generation it was written for is gone
    "40": _BUSY,
    "42501": _REFUSED,
    "42P01": (TransientError, "its tables were replaced meanwhile; if it stays so, run: refold rebuild all"),
    "53": _SCARCE,
    "53100": (DiskFull, "make space on the PostgreSQL server, then run the command again"),
    "54": (FatalError, "a value is larger than PostgreSQL stores"),
    "55": _BUSY,
    "57": _AWAY,
    "57014": (TransientError, "a statement took too long; it is tried again"),
    "57P04": _REFUSED,
    "58": (MachineError, "check the disk of the PostgreSQL server: reading or writing it failed"),
    "72": (TransientError, "the snapshot grew too old; it is tried again"),
    "F0": (MachineError, "check the configuration of the PostgreSQL server"),
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""What PostgreSQL's SQLSTATEs mean here; any other is a fault of our own and becomes FatalError."""


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


def postgres_fault(sqlstate: str | None, *, is_operational: bool) -> tuple[type[RefoldError], str | None] | None:
    """The class and the hint for an SQLSTATE of PostgreSQL's; None if it is a fault of our own.

    A server that cannot be reached, or went away within a statement, has no SQLSTATE, and neither has one that turns
    down a password: the driver gives only its words, in the server's language.
    """
    if sqlstate is None:
        return _AWAY if is_operational else None
    return POSTGRES_FAULTS.get(sqlstate) or POSTGRES_FAULTS.get(sqlstate[:2])


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
