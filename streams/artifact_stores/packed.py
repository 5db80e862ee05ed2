"""The SQLite file of a local artifact store: which blobs there are, and the bytes of the small ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import DataFolderDamaged
from schemas.events import ArtifactRef
from streams.artifacts import ArtifactStats
from streams.sqlite_file import FileKind, SqliteFile

_QUERY_KEYS = 500
"""Keys in one query: SQLite before 3.32 takes 999 parameters."""

_SCAN_ROWS = 1_000
"""Rows of a scan read at a time: a read transaction that stays open would hold the whole WAL."""

# The keys are apart from the contents, so that touching a blob does not write it again. `content_id` is null for a blob
# that lies in a file of its own.
_KIND = FileKind(
    noun="artifact store",
    application_id=int.from_bytes(b"rfla"),
    format=1,
    layout=(
        """
        CREATE TABLE blobs (
            sha256 BLOB PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            touched_at_us INTEGER NOT NULL,
            content_id INTEGER
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE TABLE contents (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT",
    ),
)


class NewBlob(NamedTuple):
    """A blob to be written down; `data` is None if a file holds it."""

    ref: ArtifactRef
    touched_at_us: int
    data: bytes | None


class PackedBlobs:
    """An open `packed.sqlite`. Thread-safe; opens, and raises, as `SqliteFile` does."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._file = SqliteFile(path, _KIND, read_only=read_only)
        if not read_only:
            self._file.check_writable().execute("PRAGMA secure_delete = ON")  # erased bytes are overwritten

    def check_writable(self) -> None:
        """Raise UsageError if the store is closed, or open to read only."""
        self._file.check_writable()

    def write(self, blobs: Sequence[NewBlob], touched_at_us: Mapping[str, int]) -> None:
        """Write down `blobs`, and when any were touched: durably, all or nothing.

        What is written down already gets its new content. The old one, which was damaged, stays in the file and is
        referred to by nothing: to free its pages would be to trust them.
        """
        packed = [blob for blob in blobs if blob.data is not None]
        with self._file.transaction("sync") as connection:
            (last_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM contents").fetchone()
            ids = {blob.ref.sha256: content_id for content_id, blob in enumerate(packed, last_id + 1)}
            connection.executemany(
                "INSERT INTO contents VALUES (?, ?)", [(ids[blob.ref.sha256], blob.data) for blob in packed]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)",
                [(_key(ref.sha256), ref.size_bytes, at_us, ids.get(ref.sha256)) for ref, at_us, _ in blobs],
            )
            connection.executemany(
                "UPDATE blobs SET touched_at_us = ? WHERE sha256 = ?",
                [(at_us, _key(sha256)) for sha256, at_us in touched_at_us.items()],
            )

    def forget(self, sha256s: Collection[str]) -> None:
        """Delete `sha256s` durably; what was packed of them is overwritten, in the WAL as soon as nobody reads it."""
        keys = [(_key(sha256),) for sha256 in sha256s]
        with self._file.transaction("delete") as connection:
            connection.executemany(
                "DELETE FROM contents WHERE id = (SELECT content_id FROM blobs WHERE sha256 = ?)", keys
            )
            connection.executemany("DELETE FROM blobs WHERE sha256 = ?", keys)
        self._file.empty_wal()

    def held(self, sha256s: Collection[str]) -> set[str]:
        """Those of `sha256s` that are written down."""
        return {key.hex() for (key,) in self._select("SELECT sha256 FROM blobs", sha256s)}

    def contents(self, sha256s: Collection[str]) -> dict[str, bytes | None]:
        """The packed bytes of those of `sha256s` that are written down; None for one that lies in a file.

        A row that has lost its content, or whose content lies in a damaged page, reads as an empty blob, which is not
        what its key says.
        """
        statement = "SELECT sha256, content_id, data FROM blobs LEFT JOIN contents ON id = content_id"
        try:
            rows = list(self._select(statement, sha256s))
        except DataFolderDamaged:
            return self._readable_contents(sha256s)
        return {key.hex(): None if content_id is None else data or b"" for key, content_id, data in rows}

    def _readable_contents(self, sha256s: Collection[str]) -> dict[str, bytes | None]:
        rows = self._select("SELECT sha256, content_id FROM blobs", sha256s)
        return {key.hex(): None if content_id is None else self._content(content_id) for key, content_id in rows}

    def _content(self, content_id: int) -> bytes:
        try:
            with self._file.reader("get") as connection:
                row = connection.execute("SELECT data FROM contents WHERE id = ?", (content_id,)).fetchone()
        except DataFolderDamaged:
            return b""
        return row[0] if row else b""

    def scan(self) -> Iterator[ArtifactRef]:
        """All blobs by key; one written or deleted during the scan may be seen or not."""
        after = b""
        while rows := self._scan_rows(after):
            yield from (ArtifactRef(sha256=key.hex(), size_bytes=size_bytes) for key, size_bytes in rows)
            after = rows[-1][0]

    def stats(self) -> ArtifactStats:
        """How much is written down."""
        with self._file.reader("count") as connection:
            count, size_bytes = connection.execute(
                "SELECT count(*), coalesce(sum(size_bytes), 0) FROM blobs"
            ).fetchone()
        return ArtifactStats(count=count, size_bytes=size_bytes)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._file.close()

    def _select(self, statement: str, sha256s: Collection[str]) -> Iterator[tuple[Any, ...]]:
        keys = [_key(sha256) for sha256 in sha256s]
        for start in range(0, len(keys), _QUERY_KEYS):
            part = keys[start : start + _QUERY_KEYS]
            places = ", ".join("?" * len(part))
            with self._file.reader("get") as connection:
                rows = connection.execute(f"{statement} WHERE sha256 IN ({places})", part).fetchall()
            yield from rows

    def _scan_rows(self, after: bytes) -> list[tuple[Any, ...]]:
        with self._file.reader("scan") as connection:
            return connection.execute(
                "SELECT sha256, size_bytes FROM blobs WHERE sha256 > ? ORDER BY sha256 LIMIT ?", (after, _SCAN_ROWS)
            ).fetchall()


def _key(sha256: str) -> bytes:
    return bytes.fromhex(sha256)
