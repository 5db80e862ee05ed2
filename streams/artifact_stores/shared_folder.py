"""Artifacts in a folder that several processes write at once; how they lie there: `objects.py`.

For workers on one machine, or on a file system that all of them mount. The store of `local.py` packs small blobs and
is the better one where a single process writes.

Whatever is written is written in ``incoming/``, synced, and only then given its name: who finds a blob, in whatever
process, finds durable bytes, and needs to sync nothing but the folder of names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock

from schemas.errors import MachineError, TransientError
from schemas.events import ArtifactRef
from schemas.extras import extra
from schemas.ids import random_id
from streams.artifact_stores.blob_files import OS_MEANINGS
from streams.artifact_stores.objects import BLOBS, TOUCHES, ObjectArtifacts, path_of_blob

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
        self._directory = directory.absolute()
        try:
            (self._directory / BLOBS).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise MachineError(
                f"{directory}: {exc.strerror}", op="open artifacts", subject=str(directory), hint="make it writable"
            ) from exc
        self._preparing = Lock()
        self._is_prepared = False
        super().__init__(LocalStore(self._directory), subject=str(directory), clock=clock, monotonic=monotonic)

    def sync(self) -> None:
        """Make every put and touch so far durable, the folder's entries included."""
        super().sync()
        self._sync_names("sync artifacts")

    def _is_there_or_sent(self, sha256_hex: str, blob: bytes) -> bool:
        if self._is_whole(ArtifactRef(sha256=sha256_hex, size_bytes=len(blob))):
            return True
        self._send(sha256_hex, [blob])
        return False

    def _send(self, sha256_hex: str, parts: Iterable[bytes]) -> None:
        self._write(path_of_blob(sha256_hex), parts)

    def _write(self, name: str, parts: Iterable[bytes]) -> None:
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

    def _remove(self, paths: Iterable[str]) -> None:
        with self._mapped_os_errors("delete artifacts"):
            for path in paths:
                (self._directory / path).unlink(missing_ok=True)
        self._sync_names("delete artifacts")  # else what was erased could come back after a power cut

    def _sync_names(self, op: str) -> None:
        with self._mapped_os_errors(op):
            _sync(self._directory / BLOBS)
            if (self._directory / TOUCHES).exists():
                _sync(self._directory / TOUCHES)

    def _prepare(self) -> None:
        """Make what writing needs, before the first write: who only reads may not be allowed to."""
        with self._preparing:
            if self._is_prepared:
                return
            with self._mapped_os_errors("put artifact"):
                for folder in (TOUCHES, _INCOMING):
                    (self._directory / folder).mkdir(exist_ok=True)
                _sync(self._directory)
                _forget_abandoned(self._directory / _INCOMING)
            self._is_prepared = True

    @contextmanager
    def _mapped_os_errors(self, op: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            meaning = OS_MEANINGS.get(exc.errno or 0)
            if meaning is None:  # such as a mount that is away, which may come back
                raise TransientError(f"{self._directory}: {exc}", op=op, hint="refold doctor") from exc
            message = f"{meaning.message.format(path=self._directory)} ({exc})"
            raise meaning.error(message, op=op, subject=str(self._directory), hint=meaning.hint) from exc


def _forget_abandoned(incoming: Path) -> None:
    """Drop what died processes left, told by the file system's own clock."""
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


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
