"""The schema registry of one data folder: a table in the log's own SQLite file, so that the file explains itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

from schemas.avro_files import released_schemas
from schemas.registry import SchemaNotRegistered, WriterSchema, require_same
from schemas.sqlite_files import mapped_sqlite_errors, reading_uri

BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that holds the file; its commits take milliseconds."""

_CREATE = """
CREATE TABLE IF NOT EXISTS schemas (
    id INTEGER PRIMARY KEY,
    record TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    canonical TEXT NOT NULL,
    UNIQUE (record, version)
) STRICT
"""
_INSERT = "INSERT INTO schemas (record, version, fingerprint, canonical) VALUES (?, ?, ?, ?)"
_TABLE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schemas'"
_CONFLICT_HINT = "open this folder with the release that wrote it, or install an unmodified refold"
_SELECT = "SELECT id, record, version, canonical, fingerprint FROM schemas ORDER BY id"


class EmbeddedRegistry:
    """The table `schemas` of the SQLite file at `path`.

    Opens the file only for a moment: when it is made, and when it is asked for something it has not seen. Any number
    of processes may read (`read_only`, which needs the file to exist) while one writes.

    Raises:
        SchemaConflict: the table holds another schema under a record and version of `schemas`.
        MachineError: the file cannot be opened or written.
        DataFolderDamaged: it does not read back.
    """

    def __init__(self, path: Path, *, read_only: bool = False, schemas: Sequence[WriterSchema] | None = None) -> None:
        self._path = path
        self._read_only = read_only
        self._schemas = released_schemas() if schemas is None else schemas
        self._lock = Lock()
        self._by_id: dict[int, WriterSchema] = {}
        self._ids: dict[tuple[str, int], int] = {}
        with self._lock, self._connection() as connection:
            if not read_only:
                self._register(connection)
            self._load(connection)

    def id_of(self, record: str, version: int) -> int:
        """The id of that schema."""
        with self._lock:
            if (record, version) not in self._ids:
                with self._connection() as connection:
                    self._load(connection)
            known = self._ids.get((record, version))
        if known is None:
            raise SchemaNotRegistered(
                f"{record} version {version} is not registered in {self._path}",
                op="look up schema",
                subject=record,
                hint="the data folder's owner registers this release's schemas when it opens the folder",
            )
        return known

    def schema_of(self, schema_id: int) -> WriterSchema | None:
        """The schema of that id, or None."""
        with self._lock:
            if schema_id not in self._by_id:
                with self._connection() as connection:
                    self._load(connection)
            return self._by_id.get(schema_id)

    def _register(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_CREATE)
        self._load(connection)
        for schema in self._schemas:
            if (schema.record, schema.version) not in self._ids:
                connection.execute(_INSERT, (schema.record, schema.version, schema.fingerprint, schema.canonical))
        connection.execute("COMMIT")

    def _load(self, connection: sqlite3.Connection) -> None:
        # A log that is being made this moment has no table yet, and so no schemas.
        rows = connection.execute(_SELECT) if connection.execute(_TABLE).fetchone() else ()
        stored = {row[0]: WriterSchema(*row[1:]) for row in rows}
        ids = {(schema.record, schema.version): schema_id for schema_id, schema in stored.items()}
        for schema in self._schemas:
            schema_id = ids.get((schema.record, schema.version))
            if schema_id is not None:
                require_same(schema, stored[schema_id], where=f"in {self._path}", hint=_CONFLICT_HINT)
        self._by_id, self._ids = stored, ids

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        uri = reading_uri(self._path) if self._read_only else f"{self._path.absolute().as_uri()}?mode=rwc"
        with (
            mapped_sqlite_errors("read schemas", self._path),
            closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection,
        ):
            yield connection
