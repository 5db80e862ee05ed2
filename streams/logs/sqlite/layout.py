"""What stands in the SQLite file of a log, and how its checksums are computed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from streams.log import TOPIC_NAMES, ImportUnfinished, LogDamaged
from streams.sqlite_file import FileKind, SqliteFile

# A table per topic keeps appends at the right edge of a tree of their own, where SQLite appends without splitting
# pages, and keeps damage and trimming to one topic. `crc32` is that of the frame, seeded with that of the key:
# SQLite does not notice a flipped bit in a page. `importing_from` is the id of the log that is being imported.
LOG_FILE = FileKind(
    noun="log",
    application_id=int.from_bytes(b"rfld"),
    format=1,
    layout=(
        "CREATE TABLE log (log_id TEXT NOT NULL, importing_from TEXT) STRICT",
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
    ),
    damaged=LogDamaged,
    checkpoint_pages=1_000,
)


def open_log_file(path: Path, *, read_only: bool, new_id: Callable[[], str]) -> SqliteFile:
    """The log file at `path`, with `new_id` as its id if it is new; raises as `SqliteFile` does."""

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO log (log_id) VALUES (?)", (new_id(),))
        connection.executemany("INSERT INTO topics (topic) VALUES (?)", [(topic,) for topic in TOPIC_NAMES])

    return SqliteFile(path, LOG_FILE, read_only=read_only, fill=fill)


def read_log_id(file: SqliteFile) -> str:
    """The id of the log in `file`.

    Raises:
        ImportUnfinished: what it holds is part of another log.
        LogDamaged: it is not there.
    """
    with file.reader("open log") as connection:
        row = connection.execute("SELECT log_id, importing_from FROM log").fetchone()
    if row is None or not isinstance(row[0], str):
        raise damaged_row(file, "log")
    log_id, importing_from = row
    if importing_from is not None:
        raise ImportUnfinished(
            f"{file.path} holds only part of log {importing_from}, whose import has not come to its end",
            op="open log",
            subject=str(file.path),
            hint=f"unless it is still running, delete {file.path.parent} and import again",
        )
    return str(log_id)


def damaged_row(file: SqliteFile, table: str) -> LogDamaged:
    """The error to raise where a row of `table`, which has no checksum, holds what was never written."""
    return LogDamaged(
        f"table {table} of {file.path} does not read back", op="read", subject=str(file.path), hint="restore a backup"
    )


def mark_import(file: SqliteFile, importing_from: str | None) -> None:
    """Write down which log is being imported, or that none is any more."""
    with file.transaction("import") as connection:
        connection.execute("UPDATE log SET importing_from = ?", (importing_from,))


def checksum_of(key: bytes, frame: bytes) -> int:
    """What column `crc32` holds."""
    return crc32(frame, crc32(key))
