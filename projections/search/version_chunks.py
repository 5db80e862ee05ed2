"""The chunks of versions, read from their artifacts; the latest ones are kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from threading import Lock

from schemas.events import ArtifactRef
from streams.artifacts import ArtifactStore
from streams.stages.contents import Chunk, decode_chunks

KEPT_BYTES = 4 * 1024 * 1024
"""Artifact bytes whose chunks are kept: some hundred documents, three or four times as much in memory."""

KEPT_COUNT = 2_000
"""Artifacts whose chunks are kept, at most: small ones take more memory than their bytes say."""


class VersionChunks:
    """Reads chunks by the reference of their artifact. Thread-safe."""

    def __init__(self, artifacts: ArtifactStore, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._artifacts = artifacts
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[ArtifactRef, Sequence[Chunk]] = OrderedDict()
        self._size_bytes = 0
        self._lock = Lock()

    def read(self, refs: Collection[ArtifactRef]) -> Mapping[ArtifactRef, Sequence[Chunk]]:
        """The chunks of each of `refs`; raises as the store and `decode_chunks` do."""
        with self._lock:
            chunks = {ref: self._kept[ref] for ref in refs if ref in self._kept}
        absent = [ref for ref in dict.fromkeys(refs) if ref not in chunks]
        if absent:
            blobs = self._artifacts.get_many(absent)
            chunks |= {ref: decode_chunks(blobs[ref.sha256]) for ref in absent}
        with self._lock:
            for ref, some in chunks.items():
                self._keep(ref, some)
        return chunks

    def _keep(self, ref: ArtifactRef, chunks: Sequence[Chunk]) -> None:
        if ref not in self._kept:
            self._size_bytes += ref.size_bytes
        self._kept[ref] = chunks
        self._kept.move_to_end(ref)
        while self._size_bytes > self._kept_bytes or len(self._kept) > KEPT_COUNT:
            oldest, _ = self._kept.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
