"""The port of the artifact store; its technologies stand in `streams/artifact_stores/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from schemas.errors import FatalError, PoisonError
from schemas.events import ArtifactRef


class ArtifactMissing(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The store does not hold this artifact."""


class ArtifactDamaged(FatalError):  # noqa: N818 - as above
    """The bytes stored under a hash do not have that hash."""


class ArtifactStore(Protocol):
    """Write-once blobs named by the SHA-256 of their bytes, verified on every read.

    Thread-safe. Putting what is there already is a cheap success. Nothing is durable before `sync` returns.
    """

    def put(self, blobs: Sequence[bytes]) -> list[ArtifactRef]:
        """Store `blobs` and touch them (garbage collection spares what was touched lately); refs in the same order.

        Raises:
            DiskFull: nothing of this call may be counted on.
        """

    def put_file(self, path: Path) -> ArtifactRef:
        """Store the content of the file at `path` without holding it in memory; hard-linked where that is possible."""

    def get(self, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`.

        Raises:
            ArtifactMissing: there are none.
            ArtifactDamaged: they do not have the hash they are stored under.
        """

    def get_many(self, refs: Sequence[ArtifactRef]) -> Mapping[str, bytes]:
        """The bytes of `refs` by sha256, read together; raises as `get` does."""

    def touch(self, refs: Sequence[ArtifactRef]) -> list[bool]:
        """Mark `refs` as used now; False for each that the store does not hold."""

    def sync(self) -> None:
        """Make every put and touch so far durable: step (1) of the commit order."""

    def scan(self) -> Iterator[ArtifactRef]:
        """All artifacts that are there, in no order."""

    def delete(self, refs: Sequence[ArtifactRef]) -> None:
        """Forget `refs`; absent ones are no error. Only garbage collection and erasure call this."""

    def close(self) -> None:
        """Let go of files; idempotent."""
