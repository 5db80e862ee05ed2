"""The SQLite file of a log: how it is laid out, opened and recognised."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from zlib import crc32

from schemas.errors import DataFolderVersion, MachineError, UsageError
from schemas.sqlite_uri import can_keep_reading, reading_uri
from streams.log import TOPIC_NAMES
from streams.logs.sqlite_errors import translated

FORMAT = 1
"""Kept in PRAGMA user_version; a file with a higher one was written by a newer release."""

APPLICATION_ID = int.from_bytes(b"rfld")
"""Kept in PRAGMA application_id; `file log.sqlite` shows it."""

BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes; commits take milliseconds, so more means that it hangs."""

WAL_LIMIT_BYTES = 64 << 20
"""What the WAL is cut back to after a burst."""

# A table per topic keeps appends at the right edge of a tree of their own, where SQLite appends without splitting
# pages, and keeps damage and trimming to one topic. `crc32` is that of the frame, seeded with that of the key:
# SQLite does not notice a flipped bit in a page.
_LAYOUT = (
    "CREATE TABLE log (log_id TEXT NOT NULL) STRICT",
    """
    CREATE TABLE topics (
        topic TEXT PRIMARY KEY,
        begin_offset INTEGER NOT NULL DEFAULT 0,
        end_offset INTEGER NOT NULL DEFAULT 0,
        last_occurred_at TEXT
    ) STRICT, WITHOUT ROWID
    """,
    *(
        f"""
        CREATE TABLE {topic} (
            "offset" INTEGER PRIMARY KEY,
            "key" TEXT NOT NULL,
            crc32 INTEGER NOT NULL,
            frame BLOB NOT NULL
        ) STRICT
        """
        for topic in TOPIC_NAMES
    ),
)


def checksum_of(key: bytes, frame: bytes) -> int:
    """What column `crc32` holds."""
    return crc32(frame, crc32(key))


class LogFile:
    """An open log file: one connection that writes, unless `read_only`, and any number that read.

    A file that is missing or empty becomes a log, unless `read_only`. Opened to read only, the file and its records are
    left alone, though SQLite may put its ``-wal`` and ``-shm`` files beside it; a folder that may not be written is
    read as it lies there.

    Raises:
        MachineError: there is no log at `path`, it is something else, or the folder does not allow it.
        DataFolderVersion: a newer release wrote it.
        LogDamaged: it does not read back.
    """

    def __init__(self, path: Path, *, read_only: bool, new_id: Callable[[], str]) -> None:
        self.path = path
        self.is_closed = False
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._keeps_readers = can_keep_reading(path)
        self._writing = Lock()
        if read_only and not path.is_file():
            raise MachineError(
                f"there is no log at {path}", op="open log", subject=str(path), hint="ingest something first"
            )
        self._writer = None if read_only else self._open_to_write(new_id)
        try:
            self.log_id = self._read_log_id()
        except BaseException:
            self.close()
            raise

    def check_writable(self) -> sqlite3.Connection:
        """The connection that writes, which only `transaction` uses.

        Raises:
            UsageError: the log is closed, or open to read only.
        """
        self._check_open()
        if self._writer is None:
            raise UsageError(
                f"{self.path} was opened to read only", op="append", subject=str(self.path), hint="open it to write"
            )
        return self._writer

    @contextmanager
    def transaction(self, op: str) -> Iterator[sqlite3.Connection]:
        """The writing connection within a transaction of its own, which is durable when this ends without an error."""
        with self._writing, translated(op, self.path):
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
        with translated(op, self.path):
            connection = self._borrow()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Let a running transaction end and close what is idle now, the rest as it is given back; idempotent."""
        with self._writing, self._lock:
            self.is_closed = True
            closing, self._idle = [*self._idle, *filter(None, [self._writer])], []
        with translated("close", self.path):
            for connection in closing:
                connection.close()

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError("the log is closed", subject=str(self.path), hint="open it again")

    def _borrow(self) -> sqlite3.Connection:
        with self._lock:
            self._check_open()
            if self._idle:
                return self._idle.pop()
        return _connect(reading_uri(self.path))

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._keeps_readers and not self.is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open_to_write(self, new_id: Callable[[], str]) -> sqlite3.Connection:
        with translated("open log", self.path):
            connection = _connect(f"{self.path.absolute().as_uri()}?mode=rwc")
            try:
                _prepare(connection, self.path, new_id)
            except BaseException:
                connection.close()
                raise
            return connection

    def _read_log_id(self) -> str:
        with self.reader("open log") as connection:
            _check_format(connection, self.path)
            (log_id,) = connection.execute("SELECT log_id FROM log").fetchone()
            return str(log_id)


def _connect(uri: str) -> sqlite3.Connection:
    # A connection serves one thread at a time, though not always the same.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path, new_id: Callable[[], str]) -> None:
    """Make the file a log if it is empty, and set up `connection` to append to it durably."""
    is_new = _is_empty(connection, path)
    if not is_new:
        _check_format(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise MachineError(
            f"{path} cannot have a write-ahead log", subject=str(path), hint="use a folder on a disk of this machine"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    if is_new:
        _create(connection, path, new_id())


def _create(connection: sqlite3.Connection, path: Path, log_id: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection, path):  # another process may have been quicker
        for statement in _LAYOUT:
            connection.execute(statement)
        connection.execute("INSERT INTO log VALUES (?)", (log_id,))
        connection.executemany("INSERT INTO topics (topic) VALUES (?)", [(topic,) for topic in TOPIC_NAMES])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    if _pragma(connection, "application_id", path) != 0:
        return False
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id", path) != APPLICATION_ID:
        raise _not_a_log(path)
    version = _pragma(connection, "user_version", path)
    if version > FORMAT:
        raise DataFolderVersion(
            f"{path} has format {version}; this release knows formats up to {FORMAT}",
            op="open log",
            subject=str(path),
            hint="install the release that wrote it, or a newer one",
        )


def _pragma(connection: sqlite3.Connection, name: str, path: Path) -> int:
    try:
        (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise _not_a_log(path) from exc
        raise
    return int(value)


def _not_a_log(path: Path) -> MachineError:
    return MachineError(
        f"{path} is not a refold log, or its first page is damaged",
        op="open log",
        subject=str(path),
        hint="name another data folder, or restore a backup",
    )
