"""Writes versions into an index backend, and finds out which of them it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from projections.index.backend import IndexBackend, IndexedChunk
from projections.index.books.batch import Refusal
from projections.index.changes import ServeVersion
from projections.index.contents import indexed_chunks, load_blobs, slices
from schemas.errors import PoisonError, RefoldError
from schemas.ids import DocumentId
from streams.artifacts import ArtifactStore

UPSERT_CHUNKS = 2_000
"""Chunks given to the backend at once; 2,000 of 1,000 characters and 256 numbers are some 4 MiB."""

Refusals = dict[DocumentId, Refusal]
_Loaded = tuple[ServeVersion, Sequence[IndexedChunk]]


class IndexWriter:
    """Loads versions from their artifacts and upserts their chunks, a slice at a time; flushing is the caller's.

    Vectors are of length `dim`, or not loaded where that is None.
    """

    def __init__(self, backend: IndexBackend, artifacts: ArtifactStore, *, dim: int | None) -> None:
        self._backend = backend
        self._artifacts = artifacts
        self._dim = dim

    def write(self, versions: Sequence[ServeVersion]) -> Refusals:
        """Write `versions`, one per document; those that can never be written, with the reason.

        A refused one may have been written in part: it is not served, so no search finds it.
        """
        refused: Refusals = {}
        for some in slices(versions):
            refused |= self._write_slice(some)
        return refused

    def _write_slice(self, versions: Sequence[ServeVersion]) -> Refusals:
        blobs = load_blobs(versions, self._artifacts)
        refused: Refusals = {}
        loaded: list[_Loaded] = []
        for version in versions:
            try:
                loaded.append((version, self._load(version, blobs)))
            except PoisonError as exc:
                refused[version.document_id] = _refusal(exc)
        return refused | self._upsert(loaded)

    def _load(self, version: ServeVersion, blobs: Mapping[str, bytes]) -> Sequence[IndexedChunk]:
        return indexed_chunks(version, blobs, self._artifacts, dim=self._dim)

    def _upsert(self, loaded: Sequence[_Loaded]) -> Refusals:
        try:
            for chunks in _pieces(loaded):
                self._backend.upsert(chunks)
        except PoisonError as exc:
            if len(loaded) == 1:
                return {loaded[0][0].document_id: _refusal(exc)}
            middle = len(loaded) // 2  # halved until the refused version stands alone
            return self._upsert(loaded[:middle]) | self._upsert(loaded[middle:])
        return {}


def _pieces(loaded: Sequence[_Loaded]) -> Iterator[Sequence[IndexedChunk]]:
    chunks = chain.from_iterable(chunks for _, chunks in loaded)
    while piece := list(islice(chunks, UPSERT_CHUNKS)):
        yield piece


def _refusal(exc: RefoldError) -> Refusal:
    return Refusal(type(exc).__name__, str(exc), exc.hint)
