"""A vector index in memory: exact, the reference for the others. It keeps nothing on disk: for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from projections.backends.folder import FolderMark, foreign
from projections.backends.matching import admission
from projections.backends.ranking import ranked
from projections.index.backend import Filters, IndexedChunk, IndexEntry, ScoredChunk, Vector
from projections.index.vectors import checked_rows, vector_digest
from schemas.ids import ChunkId

BATCH_IDS = 1_000


class FlatVectorBackend:
    """Vectors in one matrix, compared one by one; 4 bytes per dimension and chunk, and the chunk itself.

    Args:
        directory: Named in errors only.
        generation: Named in errors only.
        create: Must be true: what an earlier instance held went with its process.
        dim: Length of the vectors.

    Raises:
        IndexForeign: `create` is false.
    """

    def __init__(self, directory: Path, generation: str, *, create: bool, dim: int) -> None:
        if not create:
            mark = FolderMark(index="vector", generation=generation, backend="flat", layout=f"dim={dim}")
            raise foreign(mark, str(directory), "there is an index that was only in memory")
        self.dim = dim
        self._lock = Lock()
        self._pending: dict[ChunkId, IndexedChunk | None] = {}
        self._chunks: dict[ChunkId, IndexedChunk] = {}
        self._rows: NDArray[np.float32] = np.empty((0, dim), np.float32)

    def check_mark(self) -> None:
        """Nothing: nobody else can reach this memory."""

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port.

        Raises:
            PoisonError: one has no vector, or none of length `dim` with finite numbers; nothing is written then.
        """
        checked_rows(chunks, self.dim)
        self._pending.update((chunk.chunk_id, chunk) for chunk in chunks)

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id."""
        self._pending.update(dict.fromkeys(chunk_ids))

    def flush(self) -> None:
        """Make everything so far visible; durable it never is."""
        if not self._pending:
            return
        chunks = {**self._chunks, **self._pending}
        kept = {chunk_id: chunk for chunk_id, chunk in chunks.items() if chunk is not None}
        rows = checked_rows(list(kept.values()), self.dim)
        with self._lock:
            self._chunks, self._rows = kept, rows
        self._pending.clear()

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids, in batches."""
        chunk_ids = list(self._chunks)
        for start in range(0, len(chunk_ids), BATCH_IDS):
            yield chunk_ids[start : start + BATCH_IDS]

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        with self._lock:
            found = [self._chunks[chunk_id] for chunk_id in dict.fromkeys(chunk_ids) if chunk_id in self._chunks]
        rows = checked_rows(found, self.dim)
        return [
            IndexEntry(chunk.chunk_id, chunk.document_id, chunk.version, chunk.ordinal, vector_digest(row))
            for chunk, row in zip(found, rows, strict=True)
        ]

    def count(self) -> int:
        """How many chunks are there."""
        return len(self._chunks)

    def vacuum(self) -> None:
        """Nothing: `flush` leaves no deleted chunk behind."""

    def size_bytes(self) -> int:
        """Zero: nothing is on disk."""
        return 0

    def close(self) -> None:
        """Flush."""
        self.flush()

    def search(self, vector: Vector, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` most similar chunks, best first, equal scores by chunk id."""
        if limit < 1:
            return []
        with self._lock:
            chunks, rows = self._chunks, self._rows
        # Summed in float64, row by row: equal vectors score the same wherever they stand.
        scores = np.einsum("ij,j->i", rows, vector, dtype=np.float64).astype(np.float32).tolist()
        admits = admission(filters)
        hits = [
            ScoredChunk(chunk.chunk_id, chunk.document_id, chunk.version, chunk.ordinal, score)
            for chunk, score in zip(chunks.values(), scores, strict=True)
            if admits(chunk.attributes)
        ]
        return ranked(hits)[:limit]
