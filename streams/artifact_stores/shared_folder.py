"""Artifacts in a folder that several processes write at once; how they lie there: `objects.py`.

For workers on one machine, or on a file system that all of them mount. The store of `local.py` packs small blobs and
is the better one where a single process writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from schemas.errors import MachineError
from schemas.extras import extra
from streams.artifact_stores.objects import ObjectArtifacts, path_of_blob

with extra("s3"):
    from obstore.store import LocalStore


class SharedFolderArtifacts(ObjectArtifacts):
    """Blobs under `directory`, which is made if it is not there; a blob that was synced survives a power cut.

    Args:
        directory: On one machine, or mounted by all.
        clock: Now, in UTC.

    Raises:
        MachineError: the folder cannot be made or read.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], datetime]) -> None:
        self._directory = directory.absolute()
        try:
            (self._directory / "blobs").mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise MachineError(
                f"{directory}: {exc.strerror}", op="open artifacts", subject=str(directory), hint="make it writable"
            ) from exc
        super().__init__(LocalStore(self._directory), subject=str(directory), clock=clock)

    def sync(self) -> None:
        """Make every put and touch so far durable, the folder's entries included."""
        super().sync()
        _sync(self._directory / "blobs")

    def _is_there_or_sent(self, sha256_hex: str, blob: bytes) -> bool:
        was_there = super()._is_there_or_sent(sha256_hex, blob)
        if not was_there:
            _sync(self._directory / path_of_blob(sha256_hex))
        return was_there

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            (self._directory / path).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
