"""Artifacts as objects of a storage that any number of processes share: an object per blob, ``blobs/<sha256>``.

A put waits in memory (a large file is sent at once, its last part only if all parts have the hash of its name) until
it is synced. One sync, for all puts and touches since the last: (1) the blobs are sent, several at a time, each only if
there is none of its name; (2) one small object, ``touches/<microseconds>-<digest>``, names what was put or touched, was
there already, and was not touched by this process within the last hour. An object's own time, which is the storage's,
says when it was first put, or what it names was touched: nothing else is written for new blobs, a touch never writes a
blob again, and nobody's clock is compared with another's. What says of touches is forgotten after a day, by one process
(`forget_old_touches`).

Any number of processes on any machines may share a storage, all writing: names are digests, so every writer of a name
writes the same bytes, and nothing is ever changed but what was damaged: a put of what is there reads it, and heals it.
What deletes must be one process, and must spare what `touched_since` names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import file_digest, sha256
from io import BufferedReader
from itertools import chain
from pathlib import Path
from threading import Lock

from schemas.events import ArtifactRef
from streams.artifact_stores.object_storage import PART_BYTES, ObjectStorage
from streams.artifact_stores.touches import (
    TOUCH_HOLDS,
    RecentTouches,
    forget_old_touches,
    touches_since,
    write_touches,
)
from streams.artifacts import ArtifactStats, FileChanged, ref_of, verified

UNSYNCED_LIMIT_BYTES = 32 * 1024 * 1024
"""Bytes that may wait in memory for a sync; a put beyond them syncs by itself."""

STREAMED_FROM_BYTES = 8 * 1024 * 1024
"""Larger files are sent in parts, not held in memory."""

ASKED_FROM_BYTES = 64 * 1024
"""Whether a larger blob is there is asked first: shorter than sending it to be refused."""

REQUESTS_AT_ONCE = 16
"""A request waits some 20 ms for a storage nearby; more at once would only queue there."""

BLOBS = "blobs"


class ObjectArtifacts:
    """Blobs in `storage`. Thread-safe, and shared as said above.

    Args:
        storage: Of the objects.
        clock: Now, in UTC; for people who look at the names of touches. Their times are the storage's own.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._recent = RecentTouches(monotonic)
        self._storage = storage
        self._lock = Lock()
        self._syncing = Lock()
        self._pool = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="artifacts")
        self._unsynced: dict[str, bytes] = {}
        self._touched: set[str] = set()

    def put(self, blobs: Sequence[bytes]) -> list[ArtifactRef]:
        """Store `blobs` and touch them; refs in the same order."""
        refs = [ref_of(blob) for blob in blobs]
        with self._lock:
            for ref, blob in zip(refs, blobs, strict=True):
                self._unsynced.setdefault(ref.sha256, blob)
            is_full = sum(map(len, self._unsynced.values())) > UNSYNCED_LIMIT_BYTES
        if is_full:
            self.sync()
        return refs

    def put_file(self, path: Path) -> ArtifactRef:
        """Store the content of the file at `path`; a large one is sent now, in parts."""
        with path.open("rb") as file:
            beginning = file.read(STREAMED_FROM_BYTES + 1)
            if len(beginning) <= STREAMED_FROM_BYTES:
                return self.put([beginning])[0]
            file.seek(0)
            return self._put_large(file)

    def get(self, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`; raises ArtifactMissing or ArtifactDamaged."""
        return self.get_many([ref])[ref.sha256]

    def get_many(self, refs: Sequence[ArtifactRef]) -> Mapping[str, bytes]:
        """The bytes of `refs` by sha256, several read at a time; raises as `get` does."""
        wanted = {ref.sha256: ref for ref in refs}
        with self._lock:  # before the storage is asked: a put is let go of only when the storage has it
            found = {sha256_hex: self._unsynced[sha256_hex] for sha256_hex in wanted.keys() & self._unsynced.keys()}
        stored = list(wanted.keys() - found.keys())
        found |= zip(stored, self._pool.map(self._read, map(wanted.__getitem__, stored)), strict=True)
        return {ref.sha256: verified(ref, found[ref.sha256]) for ref in set(refs)}

    def touch(self, refs: Sequence[ArtifactRef]) -> list[bool]:
        """Mark `refs` as used now; False for each that is not there."""
        sha256s = {ref.sha256 for ref in refs}
        with self._lock:
            held = sha256s & self._unsynced.keys()
        asked = list(sha256s - held)
        are_stored = self._pool.map(self._storage.has, map(path_of_blob, asked))
        held |= {one for one, is_stored in zip(asked, are_stored, strict=True) if is_stored}
        with self._lock:
            self._touched |= held
        return [ref.sha256 in held for ref in refs]

    def sync(self) -> None:
        """Make every put and touch so far durable; after an error they wait for the next sync."""
        with self._syncing:
            with self._lock:
                received, touched, self._touched = dict(self._unsynced), self._touched, set()
            try:
                were_there = self._pool.map(self._is_there_or_sent, received, received.values())
                touched |= {one for one, was_there in zip(received, were_there, strict=True) if was_there}
                write_touches(self._storage, self._recent.lacking(touched), now=self._clock())
                self._recent.note({*received, *touched})
            except BaseException:
                with self._lock:
                    self._touched |= touched
                raise
            with self._lock:
                for sha256_hex in received:
                    del self._unsynced[sha256_hex]

    def scan(self) -> Iterator[ArtifactRef]:
        """All artifacts that are there; one put or deleted during the scan may be seen or not."""
        with self._lock:
            unsynced = {sha256_hex: len(blob) for sha256_hex, blob in self._unsynced.items()}
        stored = ((name, size_bytes) for name, size_bytes, _ in self._storage.listed(BLOBS) if name not in unsynced)
        for sha256_hex, size_bytes in chain(unsynced.items(), stored):
            yield ArtifactRef(sha256=sha256_hex, size_bytes=size_bytes)

    def stats(self) -> ArtifactStats:
        """How much is there, synced or not; every name is listed, a thousand a request."""
        sizes = [ref.size_bytes for ref in self.scan()]
        return ArtifactStats(count=len(sizes), size_bytes=sum(sizes))

    def delete(self, refs: Sequence[ArtifactRef]) -> None:
        """Forget `refs`, also where they were put or touched a moment ago."""
        sha256s = {ref.sha256 for ref in refs}
        with self._syncing:
            with self._lock:
                for sha256_hex in sha256s & self._unsynced.keys():
                    del self._unsynced[sha256_hex]
                self._touched -= sha256s
            self._recent.forget(sha256s)
            self._storage.remove(map(path_of_blob, sha256s))

    def touched_since(self, moment: datetime) -> set[str]:
        """The SHA-256s of what any process has put or touched, and synced, at `moment` of the storage or later.

        And some of what was touched up to `TOUCH_HOLDS` before: a process does not say it again within that time.
        """
        since = moment - TOUCH_HOLDS
        touched = {name for name, _, modified_at in self._storage.listed(BLOBS) if modified_at >= since}
        return touched.union(*self._pool.map(self._storage.words, touches_since(self._storage, since)))

    def forget_old_touches(self) -> bool:
        """Delete what tells of touches too old to matter; see `touches.py`."""
        return forget_old_touches(self._storage)

    def close(self) -> None:
        """Let go of connections, and of puts that were not synced; idempotent."""
        with self._syncing, self._lock:
            self._unsynced.clear()
            self._touched.clear()
        self._pool.shutdown()

    def _put_large(self, file: BufferedReader) -> ArtifactRef:
        sha256_hex = file_digest(file, "sha256").hexdigest()
        ref = ArtifactRef(sha256=sha256_hex, size_bytes=file.tell())  # of what was hashed: the file may have grown
        if self._is_whole(ref):
            with self._lock:
                self._touched.add(sha256_hex)
        else:
            file.seek(0)
            self._send(sha256_hex, _parts(file, ref))
        return ref

    def _send(self, sha256_hex: str, parts: Iterable[bytes]) -> None:
        """Make a blob of `parts`; what they raise leaves nothing behind."""
        self._storage.write(path_of_blob(sha256_hex), parts)

    def _is_there_or_sent(self, sha256_hex: str, blob: bytes) -> bool:
        """True if the storage has the blob already; else it is sent, in the place of a damaged one if there is one."""
        ref = ArtifactRef(sha256=sha256_hex, size_bytes=len(blob))
        if len(blob) >= ASKED_FROM_BYTES and self._is_whole(ref):
            return True
        if self._storage.create(path_of_blob(sha256_hex), blob):
            return False
        if self._is_whole(ref):
            return True
        self._send(sha256_hex, [blob])
        return False

    def _is_whole(self, ref: ArtifactRef) -> bool:
        return self._storage.is_whole(path_of_blob(ref.sha256), ref)

    def _read(self, ref: ArtifactRef) -> bytes:
        return self._storage.read(path_of_blob(ref.sha256), ref)


def path_of_blob(sha256_hex: str) -> str:
    """The name of a blob's object."""
    return f"{BLOBS}/{sha256_hex}"


def _parts(file: BufferedReader, ref: ArtifactRef) -> Iterator[bytes]:
    """The bytes of `file`; the last of them only if all are those of `ref`.

    Raises:
        FileChanged: they are not any more.
    """
    digest, left, held = sha256(), ref.size_bytes, b""
    while part := file.read(PART_BYTES):
        digest.update(part)
        left -= len(part)
        if left < 0:
            break  # it grows, and may grow as fast as it is read
        if held:
            yield held
        held = part
    if left or digest.hexdigest() != ref.sha256:
        raise FileChanged(op="put artifact", subject=file.name, hint="it is asked for again when it rests")
    yield held
