"""How far each group of subscribers has come, in a SQLite file of the data folder."""

from __future__ import annotations

from pathlib import Path

from schemas.positions import Position
from streams.sqlite_file import FileKind, SqliteFile

_KIND = FileKind(
    noun="file of subscriptions",
    application_id=int.from_bytes(b"rfsb"),
    format=1,
    layout=(
        """
        CREATE TABLE groups (
            log_id TEXT NOT NULL, name TEXT NOT NULL, position TEXT NOT NULL, PRIMARY KEY (log_id, name)
        ) STRICT, WITHOUT ROWID
        """,
    ),
)

_GET_ALL = "SELECT name, position FROM groups WHERE log_id = ?"
_GET = "SELECT position FROM groups WHERE log_id = ? AND name = ?"
_PUT = "INSERT INTO groups VALUES (?, ?, ?) ON CONFLICT(log_id, name) DO UPDATE SET position = excluded.position"


class SqliteGroupPositions:
    """Durable positions in the log `log_id`, by the name of a group. Thread-safe.

    Raises:
        MachineError: the file at `path` cannot be used.
    """

    def __init__(self, path: Path, *, log_id: str) -> None:
        self._log_id = log_id
        self._file = SqliteFile(path, _KIND, read_only=False)

    def get(self, group: str) -> Position | None:
        """How far `group` has come; None for one that has never handled anything."""
        with self._file.reader("read subscription") as connection:
            row = connection.execute(_GET, (self._log_id, group)).fetchone()
        return None if row is None else Position.parse(row[0])

    def put(self, group: str, position: Position) -> None:
        """`group` has handled everything before `position`; durable when this returns."""
        with self._file.transaction("store subscription") as connection:
            connection.execute(_PUT, (self._log_id, group, str(position)))

    def set_back(self, end: Position) -> None:
        """No group stands beyond `end` any more: there the log ends now."""
        with self._file.transaction("set subscriptions back") as connection:
            for group, position in connection.execute(_GET_ALL, (self._log_id,)).fetchall():
                within = {tp: min(offset, end.offset(tp)) for tp, offset in Position.parse(position).items()}
                connection.execute(_PUT, (self._log_id, group, str(Position(within))))

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._file.close()
