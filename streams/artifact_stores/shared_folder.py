"""Artifacts in a folder that several processes write at once; how they lie there: `objects.py`.

For workers on one machine, or on a file system that all of them mount. The store of `local.py` packs small blobs and
is the better one where a single process writes.

Whatever is written is written in ``incoming/``, synced, and only then given its name: who finds a blob, in whatever
process, finds durable bytes, and needs to sync nothing but the folder of names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Lock

from schemas.durable import sync_path
from schemas.errors import MachineError
from schemas.extras import extra
from schemas.ids import random_id
from streams.artifact_stores.blob_files import mapped_os_errors
from streams.artifact_stores.object_storage import ObjectStorage
from streams.artifact_stores.objects import BLOBS, ObjectArtifacts
from streams.artifact_stores.touches import TOUCHES

with extra("s3"):
    from obstore.store import LocalStore

_INCOMING = "incoming"

ABANDONED_S = 24 * 60 * 60
"""What lies in `incoming` for so long was left by a process that died: the longest upload takes minutes."""


class SharedFolderArtifacts(ObjectArtifacts):
    """Blobs under `directory`, which is made if it is not there; a blob that was synced survives a power cut.

    Args:
        directory: On one machine, or mounted by all.
        clock: Now, in UTC.
        monotonic: Seconds that only grow.

    Raises:
        MachineError: the folder cannot be made or read.
    """

    def __init__(
        self, directory: Path, *, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = _FolderStorage(directory)
        super().__init__(self._folder, clock=clock, monotonic=monotonic)

    def sync(self) -> None:
        """Make every put and touch so far durable, the folder's entries included."""
        super().sync()
        self._folder.sync_names("sync artifacts")


class _FolderStorage(ObjectStorage):
    """Objects as files, read by obstore and written here, durably."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        try:
            (self._directory / BLOBS).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise MachineError(
                f"{directory}: {exc.strerror}", op="open artifacts", subject=str(directory), hint="make it writable"
            ) from exc
        self._preparing = Lock()
        self._is_prepared = False
        super().__init__(LocalStore(self._directory), subject=str(directory))

    def create(self, name: str, data: bytes) -> bool:
        """Whether a file was made of `data`; of two processes at once both may, since they write the same bytes."""
        if (self._directory / name).exists():
            return False
        self.write(name, [data])
        return True

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Make a file of `parts`; see the class that this one specialises."""
        self._prepare()
        path = self._directory / _INCOMING / random_id()
        try:
            with self._mapped_os_errors("put artifact"), path.open("xb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
                path.replace(self._directory / name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Delete these files durably, so that what was erased does not come back after a power cut."""
        with self._mapped_os_errors("delete artifacts"):
            for name in names:
                (self._directory / name).unlink(missing_ok=True)
        self.sync_names("delete artifacts")

    def sync_names(self, op: str) -> None:
        """Make the names of all files durable."""
        with self._mapped_os_errors(op):
            sync_path(self._directory / BLOBS)
            if (self._directory / TOUCHES).exists():
                sync_path(self._directory / TOUCHES)

    def _prepare(self) -> None:
        """Make what writing needs, before the first write: who only reads may not be allowed to."""
        with self._preparing:
            if self._is_prepared:
                return
            with self._mapped_os_errors("put artifact"):
                for folder in (TOUCHES, _INCOMING):
                    (self._directory / folder).mkdir(exist_ok=True)
                sync_path(self._directory)
                _forget_abandoned(self._directory / _INCOMING)
            self._is_prepared = True

    def _mapped_os_errors(self, op: str) -> AbstractContextManager[None]:
        return mapped_os_errors(op, self._directory, may_pass=True)


def _forget_abandoned(incoming: Path) -> None:
    """Drop what died processes left, by the file system's own clock."""
    probe = incoming / random_id()
    probe.touch()
    now_s = probe.stat().st_mtime
    probe.unlink()
    for path in incoming.iterdir():
        try:
            if now_s - path.stat().st_mtime >= ABANDONED_S:
                path.unlink()
        except FileNotFoundError:
            continue  # it got its name this moment
