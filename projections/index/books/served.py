"""Which version of each document an index answers with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select

from projections.index.books.latest_versions import LatestVersion
from projections.index.books.tables import SERVED
from projections.index.changes import ServeVersion
from projections.sql.dialects import rows_among, upsert
from projections.sql.values import json_of, value_of
from schemas.events import ArtifactRef
from schemas.ids import DocumentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an index answers with for a document, and what it answered with before; kept for removed documents.

    Attributes:
        sequence: Of the event that switched to it; events at or below it change nothing.
        version: The served version, or None where the document is withdrawn.
        last: The served version, or the last that was; None where the document was removed before it was ever served.
        switched_at_us: When it became so: a moment of the index (`projections/index/books/moments.py`), no clock's
        time. previous_version: What was served until then, or None.
        previous_chunks: Its chunks.
        previous_switched_at_us: When that had become so.
    """

    document_id: DocumentId
    sequence: int
    version: int | None
    last: ServeVersion | None
    switched_at_us: int
    previous_version: int | None = None
    previous_chunks: ArtifactRef | None = None
    previous_switched_at_us: int | None = None

    @property
    def live(self) -> ServeVersion | None:
        """The version that is served, with all that is needed to write it again."""
        return self.last if self.version is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a search needs of `Served` to decide which hits to show; the rest is read where a hit is shown."""

    version: int | None
    switched_at_us: int
    previous_version: int | None
    previous_switched_at_us: int | None
    last_json: str | None = None
    previous_chunks_json: str | None = None

    @property
    def last(self) -> ServeVersion | None:
        """As `Served.last`."""
        return value_of(ServeVersion, self.last_json) if self.last_json else None

    @property
    def previous_chunks(self) -> ArtifactRef | None:
        """As `Served.previous_chunks`."""
        return value_of(ArtifactRef, self.previous_chunks_json) if self.previous_chunks_json else None


_STANDING = (
    SERVED.c.document_id,
    SERVED.c.version,
    SERVED.c.switched_at_us,
    SERVED.c.previous_version,
    SERVED.c.previous_switched_at_us,
    SERVED.c.last,
    SERVED.c.previous_chunks,
)


def read_served(
    connection: Connection, generation_key: int, document_ids: Collection[DocumentId]
) -> dict[DocumentId, Served]:
    """The rows of those of `document_ids` that have any."""
    rows = rows_among(connection, _of_generation(generation_key, *SERVED.c), SERVED.c.document_id, document_ids)
    names = SERVED.c.keys()
    return {row.document_id: row for row in (_served(dict(zip(names, row, strict=True))) for row in rows)}


def read_standings(
    connection: Connection, generation_key: int, document_ids: Collection[DocumentId]
) -> dict[DocumentId, Standing]:
    """What a search needs of those of `document_ids` that have a row."""
    rows = rows_among(connection, _of_generation(generation_key, *_STANDING), SERVED.c.document_id, document_ids)
    return {row[0]: Standing(*row[1:]) for row in rows}


def iter_versions(connection: Connection, generation_key: int) -> Iterator[LatestVersion]:
    """The served version of every document, by document_id."""
    query = (
        select(SERVED.c.document_id, SERVED.c.version, SERVED.c.chunk_count)
        .where(SERVED.c.generation_key == generation_key)
        .order_by(SERVED.c.document_id)
    )
    for row in connection.execution_options(stream_results=True).execute(query):
        document_id, version, chunk_count = row
        yield LatestVersion(document_id, version, 0 if version is None else chunk_count)


def count_served(connection: Connection, generation_key: int) -> tuple[int, int]:
    """How many documents are served, and how many chunks they have."""
    query = select(func.count(), func.coalesce(func.sum(SERVED.c.chunk_count), 0)).where(
        SERVED.c.generation_key == generation_key, SERVED.c.version.is_not(None)
    )
    documents, chunks = connection.execute(query).one()
    return int(documents), int(chunks)


def put_served(connection: Connection, generation_key: int, served: Sequence[Served]) -> None:
    """Write rows, replacing those of the same documents."""
    upsert(connection, SERVED, [_row(generation_key, one) for one in served])


@lru_cache(maxsize=64)
def _of_generation(generation_key: int, *columns: ColumnElement[Any]) -> Select[Any]:
    # The key stands in the statement, which `rows_among` compiles once for each: there are few generations.
    return select(*columns).where(SERVED.c.generation_key == literal_column(str(generation_key)))


def _row(generation_key: int, served: Served) -> Mapping[str, Any]:
    return {
        "generation_key": generation_key,
        "document_id": served.document_id,
        "sequence": served.sequence,
        "version": served.version,
        "chunk_count": served.last.chunk_count if served.last else 0,
        "last": json_of(served.last) if served.last else None,
        "switched_at_us": served.switched_at_us,
        "previous_version": served.previous_version,
        "previous_chunks": json_of(served.previous_chunks) if served.previous_chunks else None,
        "previous_switched_at_us": served.previous_switched_at_us,
    }


def _served(row: Mapping[str, Any]) -> Served:
    return Served(
        document_id=row["document_id"],
        sequence=row["sequence"],
        version=row["version"],
        last=value_of(ServeVersion, row["last"]) if row["last"] else None,
        switched_at_us=row["switched_at_us"],
        previous_version=row["previous_version"],
        previous_chunks=value_of(ArtifactRef, row["previous_chunks"]) if row["previous_chunks"] else None,
        previous_switched_at_us=row["previous_switched_at_us"],
    )
