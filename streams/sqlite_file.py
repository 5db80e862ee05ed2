"""A SQLite file of the data folder: one connection that writes durably, any number that read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from schemas.errors import DataFolderDamaged, DataFolderVersion, MachineError, RefoldError, UsageError
from schemas.sqlite_files import can_keep_reading, mapped_sqlite_errors, reading_uri

BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes; commits take milliseconds, so more means that it hangs."""

WAL_LIMIT_BYTES = 64 << 20
"""What the WAL is cut back to after a burst."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What is in the file.

    Attributes:
        noun: What messages call it, such as ``artifact store``.
        application_id: Kept in PRAGMA application_id, so that another kind of file is recognised.
        format: Kept in PRAGMA user_version; a file with a higher one was written by a newer release.
        layout: The statements that make an empty file one of this kind.
        damaged: What to raise when it does not read back.
        checkpoint_pages: How many pages of 4 KiB the WAL takes before it goes into the file. Each time costs two syncs;
            a long WAL is slower to read, and to write as long as it is longer than ever before.
    """

    noun: str
    application_id: int
    format: int
    layout: Sequence[str]
    damaged: type[RefoldError] = DataFolderDamaged
    checkpoint_pages: int = 4_000


class SqliteFile:
    """An open file of one kind. Thread-safe; several processes may read while one writes.

    A file that is missing or empty becomes one of its kind, unless `read_only`. Opened to read only, the file is left
    alone, though SQLite may put its ``-wal`` and ``-shm`` files beside it; a folder that may not be written is read as
    it lies there.

    Args:
        path: Where it lies.
        kind: What is in it.
        read_only: Whether to leave it alone.
        fill: Puts the first rows into a new file, in the transaction that makes it.

    Raises:
        MachineError: there is no such file, it is something else, or the folder does not allow it.
        DataFolderVersion: a newer release wrote it.
    """

    def __init__(
        self,
        path: Path,
        kind: FileKind,
        *,
        read_only: bool,
        fill: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.is_writable = not read_only
        self.is_closed = False
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._keeps_readers = can_keep_reading(path)
        self._writing = Lock()
        if read_only and not path.is_file():
            raise self._error(MachineError, f"there is no {kind.noun} at {path}", hint="ingest something first")
        self._writer = None if read_only else self._open_to_write(fill)
        try:
            self._check_readable()
        except BaseException:
            self.close()
            raise

    def check_open(self) -> None:
        """Raise UsageError if the file is closed."""
        if self.is_closed:
            raise self._error(UsageError, f"the {self.kind.noun} is closed", hint="open it again")

    def check_writable(self) -> sqlite3.Connection:
        """The connection that writes, for pragmas; `transaction` is for the rest.

        Raises:
            UsageError: the file is closed, or open to read only.
        """
        self.check_open()
        if self._writer is None:
            raise self._error(UsageError, f"{self.path} was opened to read only", hint="open it to write")
        return self._writer

    @contextmanager
    def transaction(self, op: str) -> Iterator[sqlite3.Connection]:
        """The writing connection within a transaction of its own, which is durable when this ends without an error."""
        with self._writing, self._mapped_errors(op):
            connection = self.check_writable()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                    connection.rollback()
                raise

    @contextmanager
    def reader(self, op: str) -> Iterator[sqlite3.Connection]:
        """A connection for one short read."""
        with self._mapped_errors(op):
            connection = self._borrow()
            try:
                yield connection
            except BaseException:
                connection.close()  # it may be what is wrong
                raise
            self._give_back(connection)

    def empty_wal(self) -> None:
        """Write the WAL into the file and cut it to nothing, unless somebody reads from it just now."""
        with self._writing, self._mapped_errors("empty the WAL"):
            self.check_writable().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let a running transaction end and close what is idle now, the rest as it is given back; idempotent."""
        with self._writing, self._lock:
            self.is_closed = True
            closing, self._idle = [*self._idle, *filter(None, [self._writer])], []
        with self._mapped_errors("close"):
            for connection in closing:
                connection.close()

    def _borrow(self) -> sqlite3.Connection:
        with self._lock:
            self.check_open()
            if self._idle:
                return self._idle.pop()
        return _connect(reading_uri(self.path))

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._keeps_readers and not self.is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open_to_write(self, fill: Callable[[sqlite3.Connection], None] | None) -> sqlite3.Connection:
        with self._mapped_errors(f"open {self.kind.noun}"):
            connection = _connect(f"{self.path.absolute().as_uri()}?mode=rwc")
            try:
                self._prepare(connection)
                if _is_empty(connection):
                    self._create(connection, fill)
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._check_kind(connection, may_be_empty=True)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise self._error(
                MachineError,
                f"{self.path} cannot have a write-ahead log",
                hint="use a folder on a disk of this machine",
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self.kind.checkpoint_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")

    def _create(self, connection: sqlite3.Connection, fill: Callable[[sqlite3.Connection], None] | None) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # another process may have been quicker
            for statement in self.kind.layout:
                connection.execute(statement)
            if fill is not None:
                fill(connection)
            connection.execute(f"PRAGMA application_id = {self.kind.application_id}")
            connection.execute(f"PRAGMA user_version = {self.kind.format}")
        connection.execute("COMMIT")

    def _check_readable(self) -> None:
        with self.reader(f"open {self.kind.noun}") as connection:
            self._check_kind(connection)

    def _check_kind(self, connection: sqlite3.Connection, *, may_be_empty: bool = False) -> None:
        application_id, version = _numbers(connection)
        if may_be_empty and application_id == 0 and _is_empty(connection):
            return
        if application_id != self.kind.application_id:
            raise self._error(
                MachineError,
                f"{self.path} is not a refold {self.kind.noun}, or its first page is damaged",
                hint="name another data folder, or restore a backup",
            )
        if version > self.kind.format:
            raise self._error(
                DataFolderVersion,
                f"{self.path} has format {version}; this release knows formats up to {self.kind.format}",
                hint="install the release that wrote it, or a newer one",
            )

    def _mapped_errors(self, op: str) -> AbstractContextManager[None]:
        return mapped_sqlite_errors(op, self.path, damaged=self.kind.damaged)

    def _error(self, error: type[RefoldError], message: str, *, hint: str) -> RefoldError:
        return error(message, op=f"open {self.kind.noun}", subject=str(self.path), hint=hint)


def _connect(uri: str) -> sqlite3.Connection:
    # A connection serves one thread at a time, though not always the same.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _numbers(connection: sqlite3.Connection) -> tuple[int | None, int]:
    """The file's application id and format; None and 0 if it is no database at all."""
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        return None, 0
    return application_id, version


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0)
