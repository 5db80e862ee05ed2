"""A storage of objects by name that several processes share, without a word on what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from schemas.events import ArtifactRef
from schemas.extras import extra
from streams.artifact_stores.object_errors import is_bucket_missing, mapped_object_errors
from streams.artifacts import missing, other_size

with extra("s3"):
    import obstore

if TYPE_CHECKING:
    from obstore.store import ObjectStore  # it is not there at run time

PART_BYTES = 8 * 1024 * 1024
"""Read or sent at a time of a large object; S3 wants parts of at least 5 MiB."""


class ObjectStorage:
    """The objects in `store`, which errors call `subject`. Thread-safe.

    Raises:
        UnreachableError: the storage does not answer.
        UsageError: it is not there, or the credentials are not good for it.
    """

    def __init__(self, store: ObjectStore, *, subject: str) -> None:
        self._store = store
        self._subject = subject
        with mapped_object_errors("open artifacts", subject):
            next(iter(obstore.list(store, chunk_size=1)), None)  # it is there, and we may read it

    def create(self, name: str, data: bytes) -> bool:
        """Whether an object was made of `data`: False if there is one of that name."""
        with mapped_object_errors("put artifact", self._subject):
            try:
                obstore.put(self._store, name, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Make an object of `parts`, durably and in the place of another; what they raise leaves nothing behind."""
        with mapped_object_errors("put artifact", self._subject):
            obstore.put(self._store, name, iter(parts))

    def is_whole(self, name: str, ref: ArtifactRef) -> bool:
        """Whether `name` has the bytes of `ref`: they are read, for their name alone says nothing of damage."""
        digest = sha256()
        with mapped_object_errors("put artifact", self._subject):
            try:
                found = obstore.get(self._store, name)
                if found.meta["size"] != ref.size_bytes:
                    return False
                for part in found.stream(min_chunk_size=PART_BYTES):
                    digest.update(part)
            except FileNotFoundError:
                return False
        return digest.hexdigest() == ref.sha256

    def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        with mapped_object_errors("touch artifact", self._subject):
            try:
                obstore.head(self._store, name)
            except FileNotFoundError:
                return False
        return True

    def read(self, name: str, ref: ArtifactRef) -> bytes:
        """The bytes of `ref`, of which only the size is verified; raises ArtifactMissing or ArtifactDamaged."""
        with mapped_object_errors("get artifact", self._subject):
            try:
                found = obstore.get(self._store, name)
                if found.meta["size"] != ref.size_bytes:
                    raise other_size(ref)
                return bytes(found.bytes())
            except FileNotFoundError as exc:
                if is_bucket_missing(exc):  # else every document would be set aside as poison
                    raise
                raise missing(ref.sha256) from None

    def words(self, name: str) -> list[str]:
        """The words of a text; none if it has been removed."""
        with mapped_object_errors("read touches", self._subject):
            try:
                return bytes(obstore.get(self._store, name).bytes()).decode().split()
            except FileNotFoundError:
                return []

    def listed(self, folder: str) -> Iterator[tuple[str, int, datetime]]:
        """Name, size in bytes and time of each object in `folder`."""
        with mapped_object_errors("list artifacts", self._subject):
            for page in obstore.list(self._store, prefix=folder, chunk_size=1_000):
                for found in page:
                    yield found["path"].rpartition("/")[2], found["size"], found["last_modified"]

    def remove(self, names: Iterable[str]) -> None:
        """Delete these objects durably; absent ones are no error."""
        some = list(names)
        with mapped_object_errors("delete artifacts", self._subject):
            if some:
                obstore.delete(self._store, some)
