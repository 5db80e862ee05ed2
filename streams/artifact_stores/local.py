"""Artifacts in a folder: small ones packed in one SQLite file, large ones in files of their own.

A put is kept aside (small ones in memory, large ones in ``incoming/``) and read from there until it is synced. One
sync, for all puts since the last: (1) large blobs made durable and moved to their places, (2) one SQLite transaction
that packs the small ones, writes down all keys and the touches. A blob is there once its key is, so a crash between the
two leaves at most a whole file that nothing refers to and that the next put of the same bytes replaces. A put of what
is there already is compared with it, and heals it where it was lost or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from schemas.events import ArtifactRef
from streams.artifact_stores.blob_files import BlobFiles
from streams.artifact_stores.packed import NewBlob, PackedBlobs
from streams.artifacts import ArtifactStats, missing, ref_of, verified

PACKED_LIMIT_BYTES = 256 * 1024
"""Larger blobs get files: below this a row is written faster than a file is synced and renamed, above it slower."""

UNSYNCED_LIMIT_BYTES = 32 * 1024 * 1024
"""Packed bytes that may wait in memory for a sync; a put beyond them syncs by itself."""


class _Received(NamedTuple):
    """A put that is not synced yet; `content` is where a large blob is kept until then."""

    ref: ArtifactRef
    content: bytes | Path


class LocalArtifacts:
    """Blobs under `directory`. Thread-safe; one process writes, any number may read what it has synced.

    Args:
        directory: Made if it is not there, unless `read_only`.
        clock: Now, in UTC; when a blob was last touched is measured by it.
        read_only: Only read: every put, touch and delete is a UsageError.

    Raises:
        MachineError: the folder does not allow it, holds no store (`read_only`), or something else.
        DataFolderVersion: a newer release wrote it.
        DataFolderDamaged: it does not read back.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], datetime], read_only: bool = False) -> None:
        self._clock = clock
        self._files = BlobFiles(directory)
        if not read_only:
            self._files.make_folders()
        self._packed = PackedBlobs(directory / "packed.sqlite", read_only=read_only)
        if not read_only:
            self._files.clear_incoming()  # only now is it known to be a folder of ours
        self._lock = Lock()
        self._syncing = Lock()
        self._unsynced: dict[str, _Received] = {}
        self._unsynced_bytes = 0
        self._touched_at_us: dict[str, int] = {}

    def put(self, blobs: Sequence[bytes]) -> list[ArtifactRef]:
        """Store `blobs` and touch them; refs in the same order."""
        self._packed.check_writable()
        received: list[_Received] = []
        try:
            received.extend(map(self._receive, blobs))
        except BaseException:
            self._discard(received)
            raise
        self._add(received)
        return [ref for ref, _ in received]

    def put_file(self, path: Path) -> ArtifactRef:
        """Store the content of the file at `path`; a large one by hard link where the file system can, else by copy."""
        self._packed.check_writable()
        if path.stat().st_size <= PACKED_LIMIT_BYTES:
            return self.put([path.read_bytes()])[0]
        received = _Received(*self._files.receive_file(path))
        self._add([received])
        return received.ref

    def get(self, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`; raises ArtifactMissing or ArtifactDamaged."""
        return self.get_many([ref])[ref.sha256]

    def get_many(self, refs: Sequence[ArtifactRef]) -> Mapping[str, bytes]:
        """The bytes of `refs` by sha256; raises as `get` does."""
        wanted = {ref.sha256: ref for ref in refs}
        with self._lock:  # before the file is asked: a put is let go of only when the file has it
            unsynced = {sha256: self._unsynced[sha256].content for sha256 in wanted.keys() & self._unsynced.keys()}
        found = {sha256: self._read_unsynced(wanted[sha256], content) for sha256, content in unsynced.items()}
        for sha256, content in self._packed.contents(wanted.keys() - unsynced.keys()).items():
            found[sha256] = self._files.read(wanted[sha256]) if content is None else content
        return {ref.sha256: _checked(ref, found.get(ref.sha256)) for ref in set(refs)}

    def touch(self, refs: Sequence[ArtifactRef]) -> list[bool]:
        """Mark `refs` as used now; False for each that is not here."""
        self._packed.check_writable()
        sha256s = {ref.sha256 for ref in refs}
        with self._lock:
            held = sha256s & self._unsynced.keys()
        held |= self._packed.held(sha256s - held)
        with self._lock:
            self._touched_at_us.update(dict.fromkeys(held, self._now_us()))
        return [ref.sha256 in held for ref in refs]

    def sync(self) -> None:
        """Make every put and touch so far durable; after an error they wait for the next sync."""
        with self._syncing:
            with self._lock:
                received, touched_at_us = dict(self._unsynced), dict(self._touched_at_us)
            if not received and not touched_at_us:
                return
            now_us = self._now_us()
            kept = self._packed.contents(received)
            # A file takes its place again without a look at what is there: reading both would cost as much as its sync.
            self._files.keep({ref.sha256: path for ref, path in received.values() if isinstance(path, Path)})
            new = [
                NewBlob(ref, touched_at_us.get(ref.sha256, now_us), content if isinstance(content, bytes) else None)
                for ref, content in received.values()
                if isinstance(content, Path) or kept.get(ref.sha256) != content
            ]
            self._packed.write(new, touched_at_us)
            self._settle(received, touched_at_us)

    def scan(self) -> Iterator[ArtifactRef]:
        """All artifacts that are here; one put or deleted during the scan may be seen or not."""
        with self._lock:
            unsynced = {sha256: entry.ref for sha256, entry in self._unsynced.items()}
        yield from unsynced.values()
        yield from (ref for ref in self._packed.scan() if ref.sha256 not in unsynced)

    def stats(self) -> ArtifactStats:
        """How much is here, synced or not."""
        with self._syncing:
            with self._lock:
                sizes = {sha256: entry.ref.size_bytes for sha256, entry in self._unsynced.items()}
            synced = self._packed.stats()
            new = sizes.keys() - self._packed.held(sizes)
        return ArtifactStats(
            count=synced.count + len(new), size_bytes=synced.size_bytes + sum(sizes[sha256] for sha256 in new)
        )

    def delete(self, refs: Sequence[ArtifactRef]) -> None:
        """Forget `refs` durably, also where they were put or touched a moment ago."""
        self._packed.check_writable()
        sha256s = {ref.sha256 for ref in refs}
        with self._syncing:
            self._drop(sha256s)
            # Files before keys: a crash in between leaves a key without bytes, which deleting again removes.
            self._files.remove(sha256s)
            self._packed.forget(sha256s)

    def close(self) -> None:
        """Let go of the folder, and of puts that were not synced; idempotent."""
        with self._syncing:
            self._drop(set(self._unsynced))
            self._packed.close()

    def _now_us(self) -> int:
        return int(self._clock().timestamp() * 1_000_000)

    def _receive(self, blob: bytes) -> _Received:
        return _Received(ref_of(blob), blob if len(blob) <= PACKED_LIMIT_BYTES else self._files.receive(blob))

    def _add(self, received: Sequence[_Received]) -> None:
        now_us = self._now_us()
        with self._lock:
            kept = [self._unsynced.setdefault(entry.ref.sha256, entry) for entry in received]
            self._touched_at_us.update({entry.ref.sha256: now_us for entry in received})
            self._unsynced_bytes += sum(_memory_bytes(entry) for entry in received)
            is_full = self._unsynced_bytes > UNSYNCED_LIMIT_BYTES
        self._discard(entry for entry, known in zip(received, kept, strict=True) if entry is not known)
        if is_full:
            self.sync()

    def _settle(self, received: Mapping[str, _Received], touched_at_us: Mapping[str, int]) -> None:
        """Forget what is durable now; a put or touch that came in since then stays for the next sync."""
        with self._lock:
            for sha256 in received:
                del self._unsynced[sha256]
            for sha256, at_us in touched_at_us.items():
                if self._touched_at_us[sha256] == at_us:
                    del self._touched_at_us[sha256]
            self._unsynced_bytes = sum(map(_memory_bytes, self._unsynced.values()))
        self._discard(received.values())  # those that were there already did not move to their places

    def _drop(self, sha256s: set[str]) -> None:
        with self._lock:
            dropped = [self._unsynced.pop(sha256) for sha256 in sha256s & self._unsynced.keys()]
            for sha256 in sha256s & self._touched_at_us.keys():
                del self._touched_at_us[sha256]
            self._unsynced_bytes = sum(map(_memory_bytes, self._unsynced.values()))
        self._discard(dropped)

    def _discard(self, entries: Iterable[_Received]) -> None:
        for entry in entries:
            if isinstance(entry.content, Path):
                self._files.discard(entry.content)

    def _read_unsynced(self, ref: ArtifactRef, content: bytes | Path) -> bytes | None:
        if isinstance(content, bytes):
            return content
        received = self._files.read_received(content, ref)
        return self._files.read(ref) if received is None else received  # a sync has just moved it


def _checked(ref: ArtifactRef, data: bytes | None) -> bytes:
    if data is None:
        raise missing(ref.sha256)
    return verified(ref, data)


def _memory_bytes(entry: _Received) -> int:
    return len(entry.content) if isinstance(entry.content, bytes) else 0
