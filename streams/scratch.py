"""Tables on disk for what may outgrow memory and need not outlive its process."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from schemas.errors import MachineError
from schemas.sqlite_files import mapped_sqlite_errors

CACHE_KIB = 8 * 1024
"""Memory per table; about 100,000 ids stay off the disk."""

_SETTINGS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"cache_size = -{CACHE_KIB}")


def open_scratch(folder: Path) -> sqlite3.Connection:
    """An empty private SQLite database in `folder`, which vanishes when it is closed or its process dies.

    Raises:
        MachineError: `folder` cannot be written to. DiskFull: it has no space left.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix="scratch-", suffix=".sqlite", dir=folder)
    except OSError as exc:
        raise MachineError(
            f"temporary tables cannot be kept: {exc}", op="plan", subject=str(folder), hint="check who may write there"
        ) from exc
    os.close(descriptor)
    with mapped_sqlite_errors("plan", folder):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        # One transaction, never committed, and nothing to recover: pages reach the disk only when the cache is full.
        connection.execute("BEGIN EXCLUSIVE")
    Path(path).unlink()
    return connection
