"""Finds what an index holds of documents beyond what its bookkeeping speaks of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from projections.index.backend import IndexBackend, IndexEntry
from projections.index.books.books import IndexBooks
from projections.index.books.garbage import Garbage
from projections.index.chunk_ids import IdArray, chunk_ids, id_array, is_chunk_id, pack, packed_ids_of, without
from schemas.ids import ChunkId, DocumentId

READ_CHUNKS = 1_000
"""Entries read at once."""


def stray_chunks(
    backend: IndexBackend, books: IndexBooks, document_ids: Collection[DocumentId], *, now_us: int
) -> list[Garbage]:
    """The chunks of `document_ids` that are neither served, parked nor garbage yet, as garbage since `now_us`.

    Scans the whole index: a backend finds chunks by id only. 32 bytes of memory per chunk of it.
    """
    stray: dict[tuple[DocumentId, int], list[ChunkId]] = {}
    wanted = set(document_ids)
    for entry in read_entries(backend, without(all_ids(backend)[0], _booked_ids(books))):
        if entry.document_id in wanted:
            stray.setdefault((entry.document_id, entry.version), []).append(entry.chunk_id)
    return [Garbage(document_id, version, pack(ids), now_us) for (document_id, version), ids in stray.items()]


def all_ids(backend: IndexBackend) -> tuple[IdArray, Sequence[ChunkId]]:
    """All ids that are really there: those that chunks can have, and the others, which are a stranger's."""
    packed, foreign = bytearray(), list[ChunkId]()
    for ids in backend.scan_ids():
        ours = [one for one in ids if is_chunk_id(one)]
        packed += pack(ours)
        if len(ours) < len(ids):
            foreign += [one for one in ids if not is_chunk_id(one)]
    return id_array(packed), foreign


def read_entries(backend: IndexBackend, ids: IdArray) -> Iterator[IndexEntry]:
    """What is held under `ids`."""
    wanted = chunk_ids(ids)
    for start in range(0, len(wanted), READ_CHUNKS):
        yield from backend.read(wanted[start : start + READ_CHUNKS])


def _booked_ids(books: IndexBooks) -> IdArray:
    packed = bytearray(books.garbage_ids())
    for document_id, version, chunk_count in books.served_versions():
        if version is not None:
            packed += packed_ids_of(document_id, version, chunk_count)
    for document_id, parked in books.parked().items():
        packed += packed_ids_of(document_id, parked.change.version, parked.change.chunk_count)
    return id_array(packed)
