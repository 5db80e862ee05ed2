"""Compares what an index holds under each chunk id with the artifacts it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from projections.index.backend import IndexBackend, IndexedChunk, IndexEntry
from projections.index.books.latest_versions import LatestVersion
from projections.index.contents import digest_of, indexed_chunks, load_blobs, slices
from projections.index.view.home import OpenIndex
from projections.index.view.view import IndexView
from schemas.errors import PoisonError
from schemas.ids import ChunkId, DocumentId
from streams.artifacts import ArtifactStore

PAGE_DOCUMENTS = 64
"""Documents compared while the index stands still: a fraction of a second."""


@dataclass(frozen=True, slots=True)
class DeepFindings:
    """Chunks whose entry is not what their artifact says, by document, and documents whose artifacts cannot be read."""

    corrupt: Mapping[DocumentId, Sequence[ChunkId]] = field(default_factory=dict)
    unreadable: Sequence[DocumentId] = ()


def deep_check(
    view: IndexView[IndexBackend], versions: Iterable[LatestVersion], artifacts: ArtifactStore
) -> DeepFindings:
    """What is wrong with the served chunks of the documents in `versions`; chunks that are not there are not reported.

    The index goes on between pages of documents, so each is compared with what is served by then.
    """
    corrupt: dict[DocumentId, Sequence[ChunkId]] = {}
    unreadable: list[DocumentId] = []
    document_ids = (version.document_id for version in versions if version.version is not None)
    while page := list(islice(document_ids, PAGE_DOCUMENTS)):
        with view.paused() as opened:
            for document_id, found in _check_page(opened, page, artifacts, dim=view.spec.dim):
                if found is None:
                    unreadable.append(document_id)
                elif found:
                    corrupt[document_id] = found
    return DeepFindings(corrupt, unreadable)


def differing(chunks: Sequence[IndexedChunk], entries: Iterable[IndexEntry]) -> Sequence[ChunkId]:
    """The ids under which `entries` hold something else than `chunks`; ids without an entry do not count."""
    expected = {
        chunk.chunk_id: IndexEntry(chunk.chunk_id, chunk.document_id, chunk.version, chunk.ordinal, digest_of(chunk))
        for chunk in chunks
    }
    return [entry.chunk_id for entry in entries if expected.get(entry.chunk_id) != entry]


def _check_page(
    opened: OpenIndex[IndexBackend], page: Sequence[DocumentId], artifacts: ArtifactStore, *, dim: int | None
) -> Iterator[tuple[DocumentId, Sequence[ChunkId] | None]]:
    live = [served.live for served in opened.books.served(page).values()]
    for some in slices([version for version in live if version is not None]):
        blobs = load_blobs(some, artifacts)
        for version in some:
            try:
                chunks = indexed_chunks(version, blobs, artifacts, dim=dim)
            except PoisonError:
                yield version.document_id, None
            else:
                yield version.document_id, differing(chunks, opened.backend.read([one.chunk_id for one in chunks]))
