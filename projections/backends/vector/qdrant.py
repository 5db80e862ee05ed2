"""A vector index on a Qdrant server (1.16 or newer), a collection there per generation; exact search, no graph.

What was upserted is in the server's log and visible to searches when the call returns. Qdrant does not sync that log to
disk at each call: it survives the server's process, not a power cut within seconds; a replica or a repair covers that.

The collection says in its metadata what it is, from the moment it exists. Without a server the same class runs in the
driver's local mode, in memory, one process and one call at a time: for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from projections.backends.folder import FolderMark, foreign
from projections.backends.generation_names import GenerationNames
from projections.backends.matching import Admission, admission, is_unicode
from projections.backends.ranking import best
from projections.backends.server_calls import Retries, write_or_halve
from projections.backends.vector.qdrant_errors import translated
from projections.backends.vector.qdrant_filter import PAYLOAD_INDEXES, FilterablePacker, server_filter
from projections.backends.vector.qdrant_payload import DOCUMENT, ORDINAL, unpacked
from projections.backends.vector.qdrant_server import GRPC_PORT, IN_MEMORY, MARK, connect, mark_of
from projections.backends.vector.vectors import checked_rows, vector_digest
from projections.index_backend import Filters, IndexedChunk, IndexEntry, ScoredChunk, Vector
from schemas.errors import UsageError
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

POINT_BYTES = 600
"""What a server keeps of a chunk beside its vector, about: payload, payload indexes and ids."""

_READ_BACK = [DOCUMENT, ORDINAL]


class QdrantVectorBackend:
    """Unit vectors in the collection ``{prefix}-vector-{generation}``, compared one by one by their dot product.

    Args:
        generation: The id in the collection's mark.
        create: Whether to begin an empty index; an earlier one of the same name is deleted.
        dim: Length of the vectors.
        url: Of the server, or IN_MEMORY.
        prefix: What the names of this pipeline's collections begin with; nobody else's do on this server.
        api_key: If the server asks for one.
        grpc_port: Of the server, which is spoken to by gRPC; None for HTTP only.
        retries: How a server that is busy is waited for.

    Raises:
        IndexForeign: there is no collection of that name that holds this generation.
        UsageError: one of that name is not one of refold's; it is left alone. Or the server is too old, or forbids it.
        UnreachableError: the server does not answer.
    """

    def __init__(
        self,
        generation: str,
        *,
        create: bool,
        dim: int,
        url: str,
        prefix: str,
        api_key: str | None = None,
        grpc_port: int | None = GRPC_PORT,
        retries: Retries | None = None,
    ) -> None:
        self.dim = dim
        self._name = GenerationNames(prefix, "vector").of(generation)
        self._mark = FolderMark(index="vector", generation=generation, backend="qdrant", layout=f"1 dim={dim}")
        self._retries = retries or Retries()
        self._is_local = url == IN_MEMORY
        self._turn: AbstractContextManager[Any] = Lock() if self._is_local else nullcontext()
        self._is_closed = False
        opens = partial(connect, url, api_key=api_key, grpc_port=grpc_port)
        self._client = self._call("open index", opens, opens=True)
        (self._create if create else self._check)()
        self._index_payloads()

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port. They are visible at once.

        Raises:
            PoisonError: one has no vector, or none of length `dim` with finite numbers; nothing is written then. Or
                the server refuses one, also alone; those before it in `chunks` are written.
            TransientError: it stays too busy, or does not answer.
        """
        checked_rows(chunks, self.dim)
        last = list({chunk.chunk_id: chunk for chunk in chunks}.values())
        for start in range(0, len(last), UPSERT_POINTS):
            write_or_halve(last[start : start + UPSERT_POINTS], self._upsert)

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id; gone at once."""
        for start in range(0, len(chunk_ids), SCAN_POINTS):
            some = models.PointIdsList(points=list(chunk_ids[start : start + SCAN_POINTS]))
            self._call("delete", partial(self._client.delete, self._name, some, wait=True))

    def flush(self) -> None:
        """Nothing: every call waits until the server has what it was given, and shows it."""

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids that are really there, in batches of at most SCAN_POINTS."""
        scroll = partial(self._client.scroll, self._name, limit=SCAN_POINTS, with_payload=False)
        offset: Any = None
        while True:
            records, offset = self._call("scan", partial(scroll, offset=offset))
            if records:
                yield [_chunk_id(record) for record in records]
            if offset is None:
                return

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        wanted, entries = list(dict.fromkeys(chunk_ids)), list[IndexEntry]()
        for start in range(0, len(wanted), READ_POINTS):
            some: list[Any] = list(wanted[start : start + READ_POINTS])
            retrieve = partial(self._client.retrieve, self._name, some, with_payload=_READ_BACK, with_vectors=True)
            entries += [_entry(record) for record in self._call("read", retrieve)]
        return entries

    def count(self) -> int:
        """How many chunks are there."""
        return self._call("count", lambda: self._client.count(self._name, exact=True)).count

    def vacuum(self) -> None:
        """Nothing: servers write segments anew by themselves once a fifth of one is deleted."""

    def size_bytes(self) -> int:
        """Bytes on disk; estimated by dimensions and number of chunks on a server, which does not tell."""
        return 0 if self._is_local else self.count() * (4 * self.dim + POINT_BYTES)

    def close(self) -> None:
        """Let go of connections, or of the folder."""
        if not self._is_closed:
            self._is_closed = True
            self._call("close", self._client.close)

    def drop(self) -> None:
        """Delete the collection from the server and close; for a generation that nobody needs any more."""
        if not self._is_closed:
            self._call("drop", lambda: self._client.delete_collection(self._name))
        self.close()

    def search(self, vector: Vector, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` most similar chunks, best first, equal scores by chunk id."""
        if filters is not None and not is_unicode(filters):
            return []
        admits = admission(filters)
        query = partial(
            self._client.query_points,
            self._name,
            query=vector.tolist(),
            query_filter=server_filter(filters),
            search_params=None if self._is_local else models.SearchParams(exact=True),
            with_payload=_READ_BACK,
        )
        return best(lambda wanted: self._found(query, wanted), lambda point: _hit(point, admits), limit=limit)

    def _found(self, query: Callable[..., models.QueryResponse], wanted: int) -> Sequence[models.ScoredPoint]:
        limit = wanted if wanted <= UNCOUNTED_HITS else min(wanted, max(self.count(), 1))
        return self._call("search", partial(query, limit=limit)).points

    def _upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        packer = FilterablePacker()
        points = [
            models.PointStruct(id=chunk.chunk_id, vector=row.tolist(), payload=packer.payload(chunk))
            for chunk, row in zip(chunks, checked_rows(chunks, self.dim), strict=True)
        ]
        self._call("upsert", lambda: self._client.upsert(self._name, points, wait=True))

    def _create(self) -> None:
        found = self._found_mark()
        if found is not None and "backend" not in found:
            raise UsageError(
                f"the collection {self._name} is not one of refold's",
                op="create index",
                subject=self._name,
                hint="delete it, or set another prefix for refold's collections",
            )
        if found is not None:
            self._call("create index", lambda: self._client.delete_collection(self._name))
        self._call("create index", self._create_collection)
        if self._found_mark() != asdict(self._mark):
            raise UsageError(
                "this Qdrant does not keep a collection's metadata",
                op="create index",
                subject=self._name,
                hint="run Qdrant 1.16 or newer",
            )

    def _create_collection(self) -> None:
        self._client.create_collection(
            self._name,
            # Dot leaves vectors as they are, where Cosine would write them scaled: the digest is of what is stored.
            vectors_config=models.VectorParams(size=self.dim, distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(m=0),
            on_disk_payload=True,
            metadata={MARK: asdict(self._mark)},
        )

    def _check(self) -> None:
        found = self._found_mark()
        if found is None:
            raise foreign(self._mark, self._name, "there is no collection")
        if found != asdict(self._mark):
            raise foreign(self._mark, self._name, f"there is {found or 'a collection of something else'}")

    def _found_mark(self) -> dict[str, Any] | None:
        """The mark of the collection of this name: empty where it has none, None where there is no collection."""
        return self._call("open index", lambda: mark_of(self._client, self._name), opens=True)

    def _index_payloads(self) -> None:
        """Have what filters look at indexed; a server that does so already has nothing to do."""
        if self._is_local:
            return
        for field, kind in PAYLOAD_INDEXES.items():
            make = partial(self._client.create_payload_index, self._name, field, kind, wait=True)
            self._call("create index", make)

    def _call(self, op: str, call: Callable[[], ResultT], *, opens: bool = False) -> ResultT:
        def translated_call() -> Any:
            with self._turn, translated(op, self._mark, self._name, opens=opens):
                return call()

        return cast(ResultT, self._retries.run(translated_call))


def _chunk_id(point: models.Record | models.ScoredPoint) -> ChunkId:
    return ChunkId(str(point.id))


def _entry(record: models.Record) -> IndexEntry:
    stored = unpacked(record.payload or {})
    row: NDArray[np.float32] = np.array(record.vector, "<f4")
    return IndexEntry(_chunk_id(record), stored.document_id, stored.version, stored.ordinal, vector_digest(row))


def _hit(point: models.ScoredPoint, admits: Admission) -> ScoredChunk | None:
    stored = unpacked(point.payload or {})
    if not admits(stored.attributes):
        return None
    return ScoredChunk(_chunk_id(point), stored.document_id, stored.version, stored.ordinal, point.score)
