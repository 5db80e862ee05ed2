"""What both indexes in memory have in common: chunks by id, and those that wait for a flush."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock

from projections.backends.folder import FolderMark, foreign
from projections.index.backend import IndexedChunk, IndexEntry
from schemas.ids import ChunkId

BATCH_IDS = 1_000


class ChunksInMemory:
    """Chunks in a dictionary, which `flush` brings up to date; `digest_of` is what an entry says of its chunk.

    Raises:
        IndexForeign: `create` is false, but what an earlier instance held is gone with its process; the error names
            `directory` and `mark`.
    """

    def __init__(
        self, directory: Path, mark: FolderMark, *, create: bool, digest_of: Callable[[IndexedChunk], str]
    ) -> None:
        if not create:
            raise foreign(mark, str(directory), "there is an index that was only in memory")
        self._digest_of = digest_of
        self._lock = Lock()
        self._pending: dict[ChunkId, IndexedChunk | None] = {}
        self._chunks: dict[ChunkId, IndexedChunk] = {}

    def check_mark(self) -> None:
        """Nothing: no other process can reach this memory."""

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks`; see the port."""
        self._pending.update((chunk.chunk_id, chunk) for chunk in chunks)

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id."""
        self._pending.update(dict.fromkeys(chunk_ids))

    @abstractmethod
    def flush(self) -> None:
        """Make everything so far visible; durable it never is."""

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids, in batches."""
        with self._lock:
            chunk_ids = list(self._chunks)
        for start in range(0, len(chunk_ids), BATCH_IDS):
            yield chunk_ids[start : start + BATCH_IDS]

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        with self._lock:
            found = [self._chunks[chunk_id] for chunk_id in dict.fromkeys(chunk_ids) if chunk_id in self._chunks]
        return [
            IndexEntry(one.chunk_id, one.document_id, one.version, one.ordinal, self._digest_of(one)) for one in found
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
