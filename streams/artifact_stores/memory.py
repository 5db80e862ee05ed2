"""An artifact store that ends with its process; the reference for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from schemas.events import ArtifactRef
from streams.artifacts import ArtifactStats, missing, ref_of, verified


class MemoryArtifacts:
    """Blobs in a dict. Nothing is ever durable; `sync` keeps no promise but to return.

    Args:
        clock: Now, in UTC; when a blob was last touched is measured by it.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._blobs: dict[str, bytes] = {}
        self._touched_at: dict[str, datetime] = {}

    def put(self, blobs: Sequence[bytes]) -> list[ArtifactRef]:
        """Store `blobs` and touch them; refs in the same order."""
        refs = [ref_of(blob) for blob in blobs]
        for ref, blob in zip(refs, blobs, strict=True):
            self._blobs[ref.sha256] = blob  # also where another is: it may be damaged
            self._touched_at[ref.sha256] = self._clock()
        return refs

    def put_file(self, path: Path) -> ArtifactRef:
        """Store the content of the file at `path`, which is held in memory like everything here."""
        return self.put([path.read_bytes()])[0]

    def get(self, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`; raises ArtifactMissing or ArtifactDamaged."""
        blob = self._blobs.get(ref.sha256)
        if blob is None:
            raise missing(ref.sha256)
        return verified(ref, blob)

    def get_many(self, refs: Sequence[ArtifactRef]) -> Mapping[str, bytes]:
        """The bytes of `refs` by sha256; raises as `get` does."""
        return {ref.sha256: self.get(ref) for ref in set(refs)}

    def touch(self, refs: Sequence[ArtifactRef]) -> list[bool]:
        """Mark `refs` as used now; False for each that is not here."""
        are_held = [ref.sha256 in self._blobs for ref in refs]
        for ref, is_held in zip(refs, are_held, strict=True):
            if is_held:
                self._touched_at[ref.sha256] = self._clock()
        return are_held

    def sync(self) -> None:
        """Return: there is nothing that could be made durable."""

    def scan(self) -> Iterator[ArtifactRef]:
        """All artifacts that are here when the first is asked for."""
        for sha256, blob in list(self._blobs.items()):
            yield ArtifactRef(sha256=sha256, size_bytes=len(blob))

    def stats(self) -> ArtifactStats:
        """How much is here."""
        sizes = [len(blob) for blob in list(self._blobs.values())]
        return ArtifactStats(count=len(sizes), size_bytes=sum(sizes))

    def delete(self, refs: Sequence[ArtifactRef]) -> None:
        """Forget `refs`."""
        for ref in refs:
            self._blobs.pop(ref.sha256, None)
            self._touched_at.pop(ref.sha256, None)

    def close(self) -> None:
        """Keep everything: this memory is let go with its process."""
