"""SQLite files of the data folder: how to open one only to read it, and what SQLite's errors mean to refold.

No sqlite3 exception leaves its backend.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from schemas.errors import DataFolderDamaged, DataFolderLocked, DiskFull, MachineError, RefoldError


class _Meaning(NamedTuple):
    error: type[RefoldError]
    message: str
    hint: str


_DAMAGED = _Meaning(DataFolderDamaged, "{path} does not read back here", "check the disk and restore a backup")
_FULL = _Meaning(DiskFull, "no space to write to {path}; nothing was written", "free some space and go on")
_BUSY = _Meaning(DataFolderLocked, "another process keeps writing to {path}", "let it end, or stop it, and try again")
_FORBIDDEN = _Meaning(
    MachineError, "{path} cannot be opened or written", "check that its folder exists and who may write there"
)
_TOO_BIG = _Meaning(MachineError, "this is larger than {path} can hold", "keep large content in artifacts")
_BROKEN = _Meaning(MachineError, "{path} cannot be read or written", "check the disk, its quota and the system's log")

MEANINGS: dict[int, _Meaning] = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
    sqlite3.SQLITE_SCHEMA: _DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: _DAMAGED,  # one process writes, and it looks before it inserts
    sqlite3.SQLITE_ERROR: _DAMAGED,  # our statements are constant: a missing table or column is damage
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # the -shm file cannot grow
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_AUTH: _FORBIDDEN,
    sqlite3.SQLITE_TOOBIG: _TOO_BIG,
}
"""By result code (sqlite.org/rescode.html), an extended one before its primary one; any other is _BROKEN."""


def refold_error(
    exc: sqlite3.Error,
    *,
    op: str,
    path: Path,
    damaged: type[RefoldError] = DataFolderDamaged,
    position: str | None = None,
) -> RefoldError:
    """What `exc`, met while doing `op` to the file at `path`, is to the rest of refold; damage is `damaged`."""
    code: int = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL)
    meaning = MEANINGS.get(code) or MEANINGS.get(code & 0xFF) or _BROKEN
    error = damaged if meaning is _DAMAGED else meaning.error
    message = f"{meaning.message.format(path=path)} ({exc})"
    return error(message, op=op, subject=str(path), position=position, hint=meaning.hint)


@contextmanager
def mapped_sqlite_errors(op: str, path: Path, *, damaged: type[RefoldError] = DataFolderDamaged) -> Iterator[None]:
    """Raises errors of sqlite3 inside the block as those of refold, and damage as `damaged`."""
    try:
        yield
    except sqlite3.Error as exc:
        raise refold_error(exc, op=op, path=path, damaged=damaged) from exc
    except UnicodeDecodeError as exc:  # of SQLite's own message, which quotes what is damaged
        raise damaged(_DAMAGED.message.format(path=path), op=op, subject=str(path), hint=_DAMAGED.hint) from exc


def reading_uri(path: Path) -> str:
    """The URI that opens the WAL-mode file at `path` for reading, without changing it.

    SQLite needs the ``-wal`` and ``-shm`` files even to read, and makes them. If the folder is not writable and no WAL
    is left, the file is opened without locks (``immutable``): good for one short read, since another process may
    still write.
    """
    how = "immutable=1" if not can_keep_reading(path) and not _has_wal(path) else "mode=ro"
    return f"{path.absolute().as_uri()}?{how}"


def can_keep_reading(path: Path) -> bool:
    """Whether a connection by `reading_uri` may stay open for long."""
    return os.access(path.parent, os.W_OK)


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0
