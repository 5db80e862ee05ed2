"""The port of the artifact store; its technologies stand in `streams/artifact_stores/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from schemas.errors import PoisonError, TransientError
from schemas.events import ArtifactRef


class ArtifactMissing(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The store does not hold this artifact."""


class ArtifactDamaged(PoisonError):  # noqa: N818 - as above
    """The bytes stored under a hash are not those that its reference names."""


class FileChanged(TransientError):  # noqa: N818 - as above
    """The file was written to while it was being stored; nothing was."""


_HINT = "make its document's artifacts anew: refold ingest SOURCE --force, or push it again; or restore a backup"
"""Making the document's artifacts again puts the same bytes, which heals them in place."""


@dataclass(frozen=True, slots=True)
class ArtifactStats:
    """How many blobs a store holds, and how many bytes they have together."""

    count: int
    size_bytes: int


def ref_of(data: bytes) -> ArtifactRef:
    """What a store will call `data`."""
    return ArtifactRef(sha256=sha256(data).hexdigest(), size_bytes=len(data))


def verified(ref: ArtifactRef, data: bytes) -> bytes:
    """`data`, if it is what `ref` names.

    Raises:
        ArtifactDamaged: it is not.
    """
    if len(data) != ref.size_bytes:
        raise other_size(ref)
    if sha256(data).hexdigest() != ref.sha256:
        raise _damaged(ref, "has changed since it was stored")
    return data


def other_size(ref: ArtifactRef) -> ArtifactDamaged:
    """The error to raise where what is stored has not the size that `ref` says: one of the two is wrong."""
    return _damaged(ref, f"has not the {ref.size_bytes} bytes that its reference says")


def missing(sha256_hex: str) -> ArtifactMissing:
    """The error to raise where a store does not hold `sha256_hex`."""
    return ArtifactMissing(
        f"artifact {sha256_hex} is not in the store",
        op="get artifact",
        subject=sha256_hex,
        hint=_HINT,
    )


def _damaged(ref: ArtifactRef, what: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"artifact {ref.sha256} {what}", op="get artifact", subject=ref.sha256, hint=_HINT)


class ArtifactStore(Protocol):
    """Write-once blobs named by the SHA-256 of their bytes, verified on every read.

    Thread-safe. Putting what is there already is a cheap success; what is there but lost or damaged is healed by it.
    Nothing is durable before `sync` returns.
    """

    def put(self, blobs: Sequence[bytes]) -> list[ArtifactRef]:
        """Store `blobs` and touch them (garbage collection spares what was touched lately); refs in the same order.

        Raises:
            DiskFull: nothing of this call may be counted on.
        """

    def put_file(self, path: Path) -> ArtifactRef:
        """Store the content of the file at `path` without holding it in memory; hard-linked where that is possible.

        Nobody may write to that file afterwards (replacing or removing it is fine): it may be the stored one.

        Raises:
            OSError: it cannot be read.
            FileChanged: it was written to meanwhile, where that shows; nothing is stored under a hash it does not have.
        """

    def get(self, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`.

        Raises:
            ArtifactMissing: there are none.
            ArtifactDamaged: they have not the hash or the size that `ref` says; one that is larger is not read whole.
        """

    def get_many(self, refs: Sequence[ArtifactRef]) -> Mapping[str, bytes]:
        """The bytes of `refs` by sha256, read together; raises as `get` does."""

    def touch(self, refs: Sequence[ArtifactRef]) -> list[bool]:
        """Mark `refs` as used now; False for each that the store does not hold."""

    def sync(self) -> None:
        """Make every put and touch so far durable: step (1) of the commit order."""

    def scan(self) -> Iterator[ArtifactRef]:
        """All artifacts that are there, in no order."""

    def stats(self) -> ArtifactStats:
        """How much is there, synced or not."""

    def delete(self, refs: Sequence[ArtifactRef]) -> None:
        """Forget `refs` for good before returning; absent ones are no error. For garbage collection and erasure."""

    def close(self) -> None:
        """Let go of files; idempotent."""
