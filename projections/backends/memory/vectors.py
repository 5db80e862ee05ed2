"""A vector index in memory: exact, the reference for the others. It keeps nothing on disk: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from projections.backends.folder import FolderMark
from projections.backends.matching import admission
from projections.backends.memory.chunks import ChunksInMemory
from projections.backends.ranking import ranked
from projections.index.backend import Filters, IndexedChunk, ScoredChunk, Vector
from projections.index.vectors import checked_rows, vector_digest


class FlatVectorBackend(ChunksInMemory):
    """Vectors in one matrix, compared one by one; 4 bytes per dimension and chunk, and the chunk itself.

    `dim` is the length of the vectors; for the rest see `ChunksInMemory`.
    """

    def __init__(self, directory: Path, generation: str, *, create: bool, dim: int) -> None:
        mark = FolderMark(index="vector", generation=generation, backend="flat", layout=f"dim={dim}")
        super().__init__(
            directory, mark, create=create, digest_of=lambda chunk: vector_digest(checked_rows([chunk], dim)[0])
        )
        self.dim = dim
        self._rows: NDArray[np.float32] = np.empty((0, dim), np.float32)

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port.

        Raises:
            PoisonError: one has no vector, or none of length `dim` with finite numbers; nothing is written then.
        """
        checked_rows(chunks, self.dim)
        super().upsert(chunks)

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
