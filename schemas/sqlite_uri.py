"""How SQLite is told to open a file only to read it."""

from __future__ import annotations

import os
from pathlib import Path


def reading_uri(path: Path) -> str:
    """The URI by which the file at `path`, which is in WAL mode, is read without being changed.

    SQLite needs the ``-wal`` and ``-shm`` files even to read, and makes them. Where the folder may not be written and
    no WAL is left to be read, the file is read as it lies there, without locks (``immutable``): good for one short
    read, since somebody else may be allowed to write.
    """
    how = "immutable=1" if not can_keep_reading(path) and not _has_wal(path) else "mode=ro"
    return f"{path.absolute().as_uri()}?{how}"


def can_keep_reading(path: Path) -> bool:
    """Whether a connection by `reading_uri` stays good for as long as one likes."""
    return os.access(path.parent, os.W_OK)


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0
