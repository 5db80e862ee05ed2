"""Engines for SQL views."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from projections.sql.dialects import WRITES

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another; longer than the largest batch takes."""

CACHE_KIB = 16 * 1024
"""Page cache per connection: the inner pages of the indexes of a few hundred thousand documents."""

CHECKPOINT_PAGES = 4_000
"""Pages (16 MiB) the write-ahead log grows before it is folded into the file, which is what syncs the disk."""

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


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    is_writing = all(options.get(name) == value for name, value in WRITES.items())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
