"""A vector index in one folder by qdrant-edge: exact search over vectors in mapped files, without a server.

Of each chunk the process keeps about 250 bytes in anonymous memory while it writes and 70 once opened again: ids and
versions, whatever the dimensions. Vectors and payloads are in mapped files, which the system can drop: 4 bytes per
dimension, and some 400 with a uri of 70 characters.

The driver holds Python's interpreter lock in every call: a search for as long as it takes to compare all vectors (10 ms
at 100,000 chunks of 256 dimensions; twenty times that behind a filter that few chunks pass), an upsert of UPSERT_POINTS
about 5 ms, a flush 20 to 150 ms, a vacuum about 15 ms per 1,000 chunks kept. No HNSW graph is ever built: building one
would stop every thread for seconds.

There is no write-ahead log. What was flushed survives a kill at any moment; of what was not, some may be there: it is
whole, and writing it again changes nothing.

The driver writes to mapped files with holes. Where there is no space to fill a hole the system ends the process without
a word (SIGBUS), so that nothing is written once space runs low.
"""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import cast
from uuid import UUID

import numpy as np
import qdrant_edge as qe
from numpy.typing import NDArray

from projections.backends.folder import FolderMark, allocated_bytes, check_folder, mapped_driver_errors, open_folder
from projections.backends.matching import Admission, admission
from projections.backends.qdrant.payload import Packer, native_filter, unpacked
from projections.backends.ranking import best, best_of
from projections.index.backend import Filters, IndexedChunk, IndexEntry, ScoredChunk, Vector
from projections.index.vectors import checked_rows, vector_digest
from schemas.errors import DiskFull
from schemas.ids import ChunkId

RESERVE_BYTES = 64 * 1024 * 1024
"""Free space below which nothing is written: several times what a batch and other processes take."""

UPSERT_POINTS = 250
"""Points written in one call, during which no other thread runs."""

SCAN_POINTS = 2_000
"""Ids read in one call."""

READ_POINTS = 500
"""Points read with payload and vector in one call."""

UNFILTERED_HITS = 500
"""Hits looked at before the driver is asked to filter: it reads every payload then, which takes 20 times as long."""

NO_GRAPH_KB = 2**40
"""Vectors of a segment, in KiB, from which `optimize` would build a graph: out of reach."""

VACUUM_SHARE = 0.2
"""Deleted share of a segment from which a vacuum rewrites it."""

VACUUM_MIN_CHUNKS = 1_000
"""Chunks below which a segment is never rewritten: there is little to gain."""


class QdrantEdgeVectorBackend:
    """Unit vectors in a qdrant-edge shard, compared one by one by their dot product.

    Args:
        directory: The index's own folder; made if `create`, and emptied of an earlier index.
        generation: The id in the folder's mark.
        create: Whether to begin an empty index.
        dim: Length of the vectors.

    Raises:
        IndexForeign: the folder does not hold this index.
        DataFolderDamaged: it does, and it does not open.
    """

    def __init__(self, directory: Path, generation: str, *, create: bool, dim: int) -> None:
        self.dim = dim
        self._directory = directory
        self._mark = FolderMark(index="vector", generation=generation, backend="qdrant_edge", layout=f"1 dim={dim}")
        with self._mapped_errors("open index"), open_folder(directory, self._mark, create=create) as data:
            self._shard = (qe.EdgeShard.create if create else qe.EdgeShard.load)(str(data), _config(dim))

    def check_mark(self) -> None:
        """Raise IndexForeign if the folder was deleted or replaced: what is written would be lost with it."""
        check_folder(self._directory, self._mark)

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port.

        Raises:
            PoisonError: one has no vector, or none of length `dim` with finite numbers; nothing is written then.
            DiskFull: there is little space left.
        """
        rows = checked_rows(chunks, self.dim)
        self._refuse_if_full()
        packer = Packer()
        with self._mapped_errors("upsert"):
            for start in range(0, len(chunks), UPSERT_POINTS):
                points = [
                    _point(chunk, row, packer)
                    for chunk, row in zip(chunks[start : start + UPSERT_POINTS], rows[start:], strict=False)
                ]
                self._shard.update(qe.UpdateOperation.upsert_points(points))

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id."""
        with self._mapped_errors("delete"):
            for start in range(0, len(chunk_ids), SCAN_POINTS):
                some: list[qe.PointId] = list(chunk_ids[start : start + SCAN_POINTS])
                self._shard.update(qe.UpdateOperation.delete_points(some))

    def flush(self) -> None:
        """Make everything so far durable; visible it is already."""
        with self._mapped_errors("flush"):
            self._shard.flush()

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids that are really there, in batches of at most SCAN_POINTS."""
        offset: qe.PointId | None = None
        while True:
            with self._mapped_errors("scan"):
                request = qe.ScrollRequest(offset=offset, limit=SCAN_POINTS, with_payload=False, with_vector=False)
                records, offset = self._shard.scroll(request)
            if records:
                yield [_chunk_id(record.id) for record in records]
            if offset is None:
                return

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        entries: list[IndexEntry] = []
        for start in range(0, len(chunk_ids), READ_POINTS):
            some: list[qe.PointId] = list(chunk_ids[start : start + READ_POINTS])
            with self._mapped_errors("read"):
                records = self._shard.retrieve(some, with_payload=True, with_vector=True)
                entries += [_entry(record) for record in records]
        return entries

    def count(self) -> int:
        """How many chunks are there."""
        with self._mapped_errors("count"):
            return self._shard.count(qe.CountRequest())

    def vacuum(self) -> None:
        """Rewrite segments of which VACUUM_SHARE or more is deleted; raises as `upsert` does."""
        self._refuse_if_full()
        with self._mapped_errors("vacuum"):
            self._shard.optimize()

    def size_bytes(self) -> int:
        """Bytes on disk; the driver's files have holes, which do not count."""
        return allocated_bytes(self._directory)

    def close(self) -> None:
        """Flush and let go of the files."""
        with self._mapped_errors("close"):
            self._shard.close()

    def search(self, vector: Vector, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` most similar chunks, best first, equal scores by chunk id."""
        query, admit = qe.Query.Nearest(vector.tolist()), partial(_hit, admits=admission(filters))
        with self._mapped_errors("search"):
            if filters is not None and 0 < limit < UNFILTERED_HITS:
                found = self._found(query, None, UNFILTERED_HITS)
                hits = best_of(found, admit, limit=limit, asked=UNFILTERED_HITS)
                if hits is not None:
                    return hits
            native = native_filter(filters)
            return best(lambda wanted: self._found(query, native, wanted), admit, limit=limit)

    def _found(self, query: qe.Query, native: qe.Filter | None, wanted: int) -> Sequence[qe.ScoredPoint]:
        return self._shard.query(
            qe.QueryRequest(
                query=query,
                filter=native,
                limit=min(wanted, self._shard.info().points_count),
                params=qe.SearchParams(exact=True),
                with_payload=True,
            )
        )

    def _refuse_if_full(self) -> None:
        free_bytes = shutil.disk_usage(self._directory).free
        if free_bytes < RESERVE_BYTES:
            raise DiskFull(
                f"only {free_bytes // 2**20} MiB are free where {self._directory} is",
                op="write vector index",
                subject=str(self._directory),
                hint=f"free some space, {RESERVE_BYTES // 2**20} MiB at least, and go on",
            )

    def _mapped_errors(self, op: str) -> AbstractContextManager[None]:
        return mapped_driver_errors(op, "vector", self._directory)


def _config(dim: int) -> qe.EdgeConfig:
    return qe.EdgeConfig(
        # Dot leaves vectors as they are, where Cosine would write them scaled: the digest is of what is stored.
        # Cold: not read into the page cache at open, so that a command that does not search starts at once.
        vectors=qe.EdgeVectorParams(size=dim, distance=qe.Distance.Dot, memory=qe.Memory.Cold),
        optimizers=qe.EdgeOptimizersConfig(
            deleted_threshold=VACUUM_SHARE,
            vacuum_min_vector_number=VACUUM_MIN_CHUNKS,
            indexing_threshold=NO_GRAPH_KB,
        ),
        wal_enabled=False,
    )


def _point(chunk: IndexedChunk, row: NDArray[np.float32], packer: Packer) -> qe.Point:
    # The driver takes any sequence of floats: an array is read faster than the numbers of a numpy row (10 to 18 µs).
    return qe.Point(chunk.chunk_id, cast("list[float]", array("f", row.tobytes())), packer.payload(chunk))


def _entry(record: qe.Record) -> IndexEntry:
    stored = unpacked(record.payload or {})
    return IndexEntry(
        _chunk_id(record.id),
        stored.document_id,
        stored.version,
        stored.ordinal,
        vector_digest(np.array(record.vector, "<f4")),
    )


def _hit(point: qe.ScoredPoint, admits: Admission) -> ScoredChunk | None:
    stored = unpacked(point.payload or {})
    if not admits(stored.attributes):
        return None
    return ScoredChunk(_chunk_id(point.id), stored.document_id, stored.version, stored.ordinal, point.score)


def _chunk_id(point_id: qe.PointId) -> ChunkId:
    # str() of a UUID takes twice as long, and scans do little else.
    text = f"{cast(UUID, point_id).int:032x}"
    return ChunkId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
