"""A vector index on a Qdrant server (1.16 or newer), a collection there per generation; exact search, no graph.

What was upserted is in the server's log and visible to searches when the call returns. Qdrant does not sync that log to
disk at each call: it survives the server's process, not a power cut within seconds; a replica or a repair covers that.

The collection's metadata says what it is, from the moment it exists; writers check it before each turn of writing,
readers once a second. Readers change nothing: a key that may only read is enough for them. Points that others put there
are foreign: reported by `read`, never found.

Without a server the same class runs in the driver's local mode (in memory, one process, one call at a time), for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from projections.backends.matching import Admission, admission, is_unicode
from projections.backends.qdrant.filter import FilterablePacker, server_filter
from projections.backends.qdrant.generation import QdrantGeneration
from projections.backends.qdrant.payload import DOCUMENT, ORDINAL, stored_in
from projections.backends.qdrant.server import QdrantServer
from projections.backends.ranking import GROWTH, best
from projections.backends.server_calls import write_or_halve
from projections.index.backend import Filters, IndexedChunk, IndexEntry, ScoredChunk, Vector, foreign_entry
from projections.index.chunk_ids import is_chunk_id
from projections.index.vectors import checked_rows, vector_digest
from schemas.errors import PoisonError
from schemas.extras import extra
from schemas.ids import ChunkId

with extra("qdrant"):
    from qdrant_client import models

ResultT = TypeVar("ResultT")

UPSERT_POINTS = 500
"""Points written in one call: half a megabyte at 256 dimensions."""

SCAN_POINTS = 5_000
"""Ids read in one call."""

READ_POINTS = 500
"""Points read with payload and vector in one call."""

UNCOUNTED_HITS = 10_000
"""Hits asked for without asking first how many there can be: servers make room for as many as are asked for."""

UNCOUNTED_GROWTH = 1_000
"""Hits asked for beyond those counted: what is added during the search must not push others out."""

POINT_BYTES = 800
"""What a server keeps of a chunk besides its vector, about: payload, payload indexes and ids (ops/scale.md)."""

_READ_BACK = [DOCUMENT, ORDINAL]


class QdrantVectorBackend:
    """Unit vectors in the collection ``{prefix}-vector-{generation}``, compared one by one by their dot product.

    Args:
        generation: The id in the collection's mark.
        server: Where it is.
        create: Whether to begin an empty index; an earlier one of the same name is deleted.
        dim: Length of the vectors.

    Raises:
        IndexForeign: there is no collection of that name that holds this generation.
        UsageError: one of that name is not one of refold's; it is left alone. Or the server is too old, or forbids it.
        UnreachableError: the server does not answer.
    """

    def __init__(self, generation: str, server: QdrantServer, *, create: bool, dim: int) -> None:
        self.dim = dim
        self._is_closed = False
        self._there = QdrantGeneration(generation, server, dim=dim)
        (self._there.create if create else self._there.check)()

    def check_mark(self) -> None:
        """Raise unless the collection is the one that was opened; see the port."""
        self._there.check_mark()

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port. They are visible at once.

        Raises:
            PoisonError: one has no vector, or none of length `dim` with finite numbers; nothing is written then. Or
                the server refuses one, also alone; those before it in `chunks` are written.
            TransientError: it stays too busy, or does not answer.
        """
        checked_rows(chunks, self.dim)
        last = list({chunk.chunk_id: chunk for chunk in chunks}.values())
        try:
            for start in range(0, len(last), UPSERT_POINTS):
                write_or_halve(last[start : start + UPSERT_POINTS], self._upsert)
        except PoisonError:
            self.check_mark()  # a collection that others have made again may refuse everything
            raise

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id; gone at once."""
        for start in range(0, len(chunk_ids), SCAN_POINTS):
            some = models.PointIdsList(points=list(chunk_ids[start : start + SCAN_POINTS]))
            self._there.call("delete", partial(self._there.client.delete, self._there.name, some, wait=True))

    def flush(self) -> None:
        """Nothing: every call waits until the server has what it was given, and shows it."""

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids that are really there, in batches of at most SCAN_POINTS."""
        self._there.look_again("scan")
        scroll = partial(self._there.client.scroll, self._there.name, limit=SCAN_POINTS, with_payload=False)
        offset: Any = None
        while True:
            records, offset = self._there.call("scan", partial(scroll, offset=offset))
            if records:
                yield [_chunk_id(record) for record in records]
            if offset is None:
                return

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        self._there.look_again("read")
        wanted = [one for one in dict.fromkeys(chunk_ids) if is_chunk_id(one)]
        entries = [foreign_entry(one) for one in dict.fromkeys(chunk_ids) if not is_chunk_id(one)]
        for start in range(0, len(wanted), READ_POINTS):
            some: list[Any] = list(wanted[start : start + READ_POINTS])
            retrieve = partial(
                self._there.client.retrieve,
                self._there.name,
                some,
                with_payload=_READ_BACK,
                with_vectors=True,
            )
            entries += [_entry(record) for record in self._there.call("read", retrieve)]
        return entries

    def count(self) -> int:
        """How many chunks are there."""
        self._there.look_again("count")
        return self._there.call("count", lambda: self._there.client.count(self._there.name, exact=True)).count

    def vacuum(self) -> None:
        """Nothing: servers rewrite segments by themselves once a fifth of one is deleted."""

    def size_bytes(self) -> int:
        """Bytes on disk; on a server, which does not report them, estimated from dimensions and number of chunks."""
        return 0 if self._there.is_local else self.count() * (4 * self.dim + POINT_BYTES)

    def close(self) -> None:
        """Let go of connections, or of the folder."""
        if not self._is_closed:
            self._is_closed = True
            self._there.close()

    def drop(self) -> None:
        """Delete the collection from the server and close; for a generation that is no longer needed."""
        if not self._is_closed:
            self._there.delete()
        self.close()

    def search(self, vector: Vector, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` most similar chunks, best first, equal scores by chunk id."""
        if filters is not None and not is_unicode(filters):
            return []
        self._there.look_again("search")
        admits = admission(filters)
        query = partial(
            self._there.reader.query_points,
            self._there.name,
            query=vector.tolist(),
            query_filter=server_filter(filters),
            search_params=None if self._there.is_local else models.SearchParams(exact=True),
        )
        return best(lambda wanted: self._found(query, wanted), lambda point: _hit(point, admits), limit=limit)

    def _found(self, query: Callable[..., models.QueryResponse], wanted: int) -> Sequence[models.ScoredPoint]:
        """The `wanted` best points with their payloads, fewer only if there are no more.

        The server finds ids first, fetches payloads afterwards and drops what was deleted between, so that a short
        answer is not the end. One without payloads drops nothing: if it is short too, it names all that there are.
        """
        limit = wanted if wanted <= UNCOUNTED_HITS else min(wanted, self._counted() + UNCOUNTED_GROWTH)
        while True:
            points = self._there.asked(partial(query, limit=limit, with_payload=_READ_BACK)).points
            if len(points) >= min(limit, wanted):
                return points[:wanted]
            named = self._there.asked(partial(query, limit=limit, with_payload=False)).points
            if len(named) < limit:
                return self._completed(named, points)
            limit *= GROWTH

    def _completed(
        self, named: Sequence[models.ScoredPoint], points: Sequence[models.ScoredPoint]
    ) -> Sequence[models.ScoredPoint]:
        """All of `named` that are still there, with their payloads; those of `points` are known."""
        payloads = {point.id: point.payload for point in points}
        unknown: list[Any] = [point.id for point in named if point.id not in payloads]
        for start in range(0, len(unknown), SCAN_POINTS):
            some = unknown[start : start + SCAN_POINTS]
            records = self._there.asked(
                partial(self._there.reader.retrieve, self._there.name, some, with_payload=_READ_BACK)
            )
            payloads |= {record.id: record.payload for record in records}
        return [point.model_copy(update={"payload": payloads[point.id]}) for point in named if point.id in payloads]

    def _counted(self) -> int:
        return self._there.asked(lambda: self._there.reader.count(self._there.name, exact=True)).count

    def _upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        packer = FilterablePacker()
        points = [
            models.PointStruct(id=chunk.chunk_id, vector=row.tolist(), payload=packer.payload(chunk))
            for chunk, row in zip(chunks, checked_rows(chunks, self.dim), strict=True)
        ]
        self._there.call("upsert", lambda: self._there.client.upsert(self._there.name, points, wait=True))


def _chunk_id(point: models.Record | models.ScoredPoint) -> ChunkId:
    return ChunkId(str(point.id))


def _entry(record: models.Record) -> IndexEntry:
    stored = stored_in(record.payload)
    if stored is None or not isinstance(record.vector, list):
        return foreign_entry(_chunk_id(record))
    row: NDArray[np.float32] = np.array(record.vector, "<f4")
    return IndexEntry(_chunk_id(record), stored.document_id, stored.version, stored.ordinal, vector_digest(row))


def _hit(point: models.ScoredPoint, admits: Admission) -> ScoredChunk | None:
    stored = stored_in(point.payload)
    if stored is None or not is_chunk_id(_chunk_id(point)) or not admits(stored.attributes):
        return None
    return ScoredChunk(_chunk_id(point), stored.document_id, stored.version, stored.ordinal, point.score)
