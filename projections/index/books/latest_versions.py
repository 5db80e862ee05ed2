"""The latest version of every document by the log alone, folded on disk so that memory does not grow with documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from schemas.events import DocumentCompleted, DocumentRemoved
from schemas.ids import DocumentId
from schemas.positions import Position
from streams.log import Batch, EventLog, Recorded
from streams.scratch import open_scratch

_SCHEMA = """
CREATE TABLE latest (
    document_id TEXT PRIMARY KEY, sequence INTEGER, version INTEGER, chunk_count INTEGER
) WITHOUT ROWID
"""

_FOLD = """
INSERT INTO latest VALUES (?, ?, ?, ?) ON CONFLICT(document_id) DO UPDATE
SET sequence = excluded.sequence, version = excluded.version, chunk_count = excluded.chunk_count
WHERE excluded.sequence > sequence
"""


class LatestVersion(NamedTuple):
    """What indexes should serve of a document; `version` is None, and `chunk_count` 0, where it is removed."""

    document_id: DocumentId
    version: int | None
    chunk_count: int


class LatestVersions:
    """The fold of topic `documents` up to `position`; close it, and its temporary file in `scratch` is gone."""

    def __init__(self, log: EventLog, scratch: Path) -> None:
        self._log = log
        self._partitions = log.partitions("documents")
        self._rows = open_scratch(scratch)
        self._rows.execute(_SCHEMA)
        self.position = Position()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[LatestVersion]:
        """All documents that were ever completed or removed, by document_id."""
        query = "SELECT document_id, version, chunk_count FROM latest ORDER BY document_id"
        with closing(self._rows.execute(query)) as rows:
            yield from map(LatestVersion._make, rows)

    def fold_to(self, until: Position, *, went_on: Callable[[], object] = lambda: None) -> None:
        """Read on to `until`, which the position must not have passed; `went_on` is called batch by batch."""
        until = until.only(["documents"])
        if not until.reaches(self.position):
            raise ValueError(f"a fold does not go back: {self.position} to {until}")
        for batch in self._log.read(self._partitions, self.position, until):
            self._fold(batch)
            went_on()
        self.position = until

    def sequence(self, document_id: DocumentId) -> int:
        """Of the last DocumentCompleted or DocumentRemoved of a document; 0 before the first."""
        row = self._rows.execute("SELECT sequence FROM latest WHERE document_id = ?", (document_id,)).fetchone()
        return row[0] if row else 0

    def close(self) -> None:
        """Let the temporary file go."""
        self._rows.close()

    def _fold(self, batch: Batch) -> None:
        rows = [row for recorded in batch.recorded if (row := _row(recorded)) is not None]
        self._rows.executemany(_FOLD, rows)


def _row(recorded: Recorded) -> tuple[DocumentId, int, int | None, int] | None:
    match recorded.event:
        case DocumentCompleted() as completed:
            return completed.document_id, completed.meta.sequence, completed.version, completed.chunk_count
        case DocumentRemoved(document_id=document_id, meta=meta):
            return document_id, meta.sequence, None, 0
        case _:
            return None
