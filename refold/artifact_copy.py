"""Copying artifacts from the store of another corpus or engine, after its log."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from refold.both_engines import now
from schemas.errors import UsageError
from streams.artifact_stores.local import LocalArtifacts
from streams.artifacts import ArtifactStore

BATCH_BYTES = 16 * 1024 * 1024
"""Copied between two syncs: a sync costs much the same for one blob as for a hundred."""


def copy_artifacts(source: str, artifacts: ArtifactStore) -> int:
    """Copy what another store holds into `artifacts`; how many blobs that was. Doing it again changes nothing.

    Args:
        source: The artifacts folder of a data folder, a folder that a cluster's processes shared, or
            ``s3://BUCKET/PREFIX`` (credentials are found as AWS's tools do).
        artifacts: Where to.

    Raises:
        UsageError: there is no store at `source`.
        ArtifactDamaged: a blob there is not what its name says.
    """
    other = _open(source)
    copied, waiting_bytes = 0, 0
    try:
        for ref in other.scan():
            artifacts.put([other.get(ref)])
            copied += 1
            waiting_bytes += ref.size_bytes
            if waiting_bytes >= BATCH_BYTES:
                artifacts.sync()
                waiting_bytes = 0
    finally:
        other.close()
    artifacts.sync()
    return copied


def _open(source: str) -> ArtifactStore:
    address = urlsplit(source)
    if address.scheme == "s3":
        from streams.artifact_stores.s3 import S3Artifacts  # noqa: PLC0415 - an extra

        return S3Artifacts(address.netloc, prefix=address.path.strip("/"), clock=now)
    folder = Path(source)
    if (folder / "packed.sqlite").is_file():
        return LocalArtifacts(folder, clock=now, read_only=True)
    if (folder / "blobs").is_dir():
        from streams.artifact_stores.shared_folder import SharedFolderArtifacts  # noqa: PLC0415 - an extra

        return SharedFolderArtifacts(folder, clock=now)
    raise UsageError(
        f"there is no artifact store at {source}",
        op="copy artifacts",
        subject=source,
        hint="name the folder artifacts/ of a data folder, a cluster's shared folder, or s3://BUCKET/PREFIX",
    )
