"""The large blobs of a local artifact store, each in a file of its own: ``files/ab/cd…`` by SHA-256.

A blob is received into ``incoming/`` first, under a number, and reaches its place only when it is durable, so that
nothing in ``files/`` is ever half a blob.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

from schemas.durable import sync_path
from schemas.errors import DiskFull, MachineError, TransientError
from schemas.events import ArtifactRef
from streams.artifacts import other_size

_COPY_BYTES = 1024 * 1024
"""What is read and hashed at a time: enough that the loop costs nothing beside hashing, little beside a document."""


class _Meaning(NamedTuple):
    error: type[MachineError]
    message: str
    hint: str


_FULL = _Meaning(DiskFull, "no space to store artifacts in {path}", "free some space and go on")
_FORBIDDEN = _Meaning(
    MachineError, "{path} cannot be read or written", "check that it is a folder and who may write there"
)
_BROKEN = _Meaning(MachineError, "{path} cannot be read or written", "check the disk, its quota and the system's log")

OS_MEANINGS: dict[int, _Meaning] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,  # beyond what this process may write into one file
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOENT: _FORBIDDEN,
    errno.ENOTDIR: _FORBIDDEN,
    errno.EEXIST: _FORBIDDEN,
}
"""By errno."""


class BlobFiles:
    """The large blobs under `directory`. Thread-safe but for `keep` and `remove`, which one thread calls at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = directory / "files"
        self._incoming = directory / "incoming"
        self._numbers = count()

    def make_folders(self) -> None:
        """Make `directory` and what belongs in it, durably."""
        with mapped_os_errors("open artifacts", self._directory):
            for folder in (self._directory, self._files, self._incoming):
                if not folder.is_dir():
                    folder.mkdir(parents=True)
                    sync_path(folder.parent)

    def clear_incoming(self) -> None:
        """Clear away what an earlier process left half done."""
        with mapped_os_errors("open artifacts", self._incoming):
            for leftover in self._incoming.iterdir():
                leftover.unlink()

    def receive(self, data: bytes) -> Path:
        """Where `data` lies now, neither durable nor in its place."""
        path = self._new_path()
        with mapped_os_errors("put artifact", path), _discarded_on_error(path):
            path.write_bytes(data)
        return path

    def receive_file(self, source: Path) -> tuple[ArtifactRef, Path]:
        """What the content of `source` is called and where it lies now: a link to it where that can be, else a copy."""
        path = self._new_path()
        with _discarded_on_error(path):
            if _is_linked(source, path):
                with path.open("rb") as reader:  # the link's: another file may have taken the source's name by now
                    return _ref_of_file(reader), path
            with source.open("rb") as reader, mapped_os_errors("put artifact", path), path.open("wb") as writer:
                return _ref_of_file(reader, copy_to=writer), path

    def keep(self, received: Mapping[str, Path]) -> None:
        """Make what was received under these SHA-256s durable and put it in its place; doing it again is harmless."""
        folders: set[Path] = set()
        with mapped_os_errors("sync artifacts", self._files):
            for sha256_hex, path in received.items():
                place = self._place(sha256_hex)
                if not place.parent.is_dir():
                    place.parent.mkdir(exist_ok=True)
                    folders.add(self._files)
                if path.exists() or not place.exists():  # else an earlier keep moved it, and then its sync failed
                    sync_path(path)
                    path.replace(place)
                folders.add(place.parent)
            for folder in folders:
                sync_path(folder)

    def discard(self, path: Path) -> None:
        """Drop what was received at `path`."""
        with mapped_os_errors("discard artifact", path):
            path.unlink(missing_ok=True)

    def read(self, ref: ArtifactRef) -> bytes | None:
        """The bytes at the place of `ref`, of which only the size is verified; None if there are none.

        Raises:
            ArtifactDamaged: they are fewer or more than `ref` says; the caller may not have the memory for more.
        """
        return self.read_received(self._place(ref.sha256), ref)

    def read_received(self, path: Path, ref: ArtifactRef) -> bytes | None:
        """The bytes of `ref` at `path`, as `read` gives them; None once they have been moved or discarded."""
        with mapped_os_errors("get artifact", path):
            try:
                with path.open("rb") as file:
                    if os.fstat(file.fileno()).st_size != ref.size_bytes:
                        raise other_size(ref)
                    return file.read()
            except FileNotFoundError:
                return None

    def remove(self, sha256s: Collection[str]) -> None:
        """Delete the files of `sha256s`, those that have any, durably."""
        with mapped_os_errors("delete artifacts", self._files):
            places = [place for place in map(self._place, sha256s) if place.exists()]
            for place in places:
                place.unlink()
            for folder in {place.parent for place in places}:
                sync_path(folder)

    def _new_path(self) -> Path:
        return self._incoming / str(next(self._numbers))

    def _place(self, sha256_hex: str) -> Path:
        return self._files / sha256_hex[:2] / sha256_hex[2:]


def _is_linked(source: Path, path: Path) -> bool:
    """Whether `path` is now another name of `source`; False where file systems or their rights forbid it."""
    try:
        path.hardlink_to(source.resolve())  # a link to a symbolic link would be one itself
    except OSError:
        return False
    return True


def _ref_of_file(reader: BinaryIO, *, copy_to: BinaryIO | None = None) -> ArtifactRef:
    digest, size_bytes = sha256(), 0
    while block := reader.read(_COPY_BYTES):
        digest.update(block)
        size_bytes += len(block)
        if copy_to is not None:
            copy_to.write(block)
    return ArtifactRef(sha256=digest.hexdigest(), size_bytes=size_bytes)


@contextmanager
def _discarded_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


@contextmanager
def mapped_os_errors(op: str, path: Path, *, may_pass: bool = False) -> Iterator[None]:
    """Within it, errors of the file system are raised as those of refold.

    One of no known meaning is transient where it `may_pass`, such as that of a mount which is away.
    """
    try:
        yield
    except OSError as exc:
        known = OS_MEANINGS.get(exc.errno or 0)
        if known is None and may_pass:
            raise TransientError(f"{path}: {exc}", op=op, hint="refold doctor") from exc
        meaning = known or _BROKEN
        message = f"{meaning.message.format(path=path)} ({exc})"
        raise meaning.error(message, op=op, subject=str(path), hint=meaning.hint) from exc
