"""Copying artifacts from the store of another corpus or engine, after its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import PoisonError, UsageError
from streams.artifact_stores.local import LocalArtifacts
from streams.artifacts import ArtifactStore

Clock = Callable[[], datetime]

BATCH_BYTES = 16 * 1024 * 1024
"""Copied between two syncs: a sync costs much the same for one blob as for a hundred."""


@dataclass(frozen=True, slots=True)
class CopiedArtifacts:
    """How many blobs were copied, and how many could not be: they are lost or damaged in the store they come from."""

    copied: int
    damaged: int


def copy_artifacts(source: str, artifacts: ArtifactStore, *, clock: Clock) -> CopiedArtifacts:
    """Copy what another store holds into `artifacts`, as far as it is whole there. Doing it again changes nothing.

    Args:
        source: The artifacts folder of a data folder, a folder that a cluster's processes shared, or
            ``s3://BUCKET/PREFIX`` (credentials are found as AWS's tools do).
        artifacts: Where to.
        clock: The time in UTC.

    Raises:
        UsageError: there is no store at `source`.
    """
    other = _open(source, clock)
    copied, damaged, waiting_bytes = 0, 0, 0
    try:
        for ref in other.scan():
            try:
                artifacts.put([other.get(ref)])
            except PoisonError:
                damaged += 1
                continue
            copied += 1
            waiting_bytes += ref.size_bytes
            if waiting_bytes >= BATCH_BYTES:
                artifacts.sync()
                waiting_bytes = 0
    finally:
        other.close()
    artifacts.sync()
    return CopiedArtifacts(copied, damaged)


def _open(source: str, clock: Clock) -> ArtifactStore:
    address = urlsplit(source)
    if address.scheme == "s3":
        from streams.artifact_stores.s3 import S3Artifacts  # noqa: PLC0415 - an extra

        return S3Artifacts(address.netloc, prefix=address.path.strip("/"), clock=clock)
    folder = Path(source)
    if (folder / "packed.sqlite").is_file():
        return LocalArtifacts(folder, clock=clock, read_only=True)
    if (folder / "blobs").is_dir():
        from streams.artifact_stores.shared_folder import SharedFolderArtifacts  # noqa: PLC0415 - an extra

        return SharedFolderArtifacts(folder, clock=clock)
    raise UsageError(
        f"there is no artifact store at {source}",
        op="copy artifacts",
        subject=source,
        hint="name the folder artifacts/ of a data folder, a cluster's shared folder, or s3://BUCKET/PREFIX",
    )
