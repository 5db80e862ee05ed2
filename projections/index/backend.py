"""The ports of index backends; the technologies stand in `projections/backends/`.

A backend holds chunks by id. It knows nothing of versions being served, of the log or of positions: that is the index
view's (`projections/index/view/view.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import FatalError, PoisonError
from schemas.ids import ChunkId, DocumentId

Vector = NDArray[np.float32]


class IndexForeign(FatalError):  # noqa: N818 - a state, as in the error tree
    """The index folder is not the one the bookkeeping speaks of: wiped, replaced or of another generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAttributes:
    """What of a document can be filtered by."""

    uri: str
    source_root: str | None = None
    media_type: str = ""
    modified_at_ns: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedChunk:
    """A chunk as an index takes it in; `vector` (shape (dim,), unit length) is None for keyword indexes."""

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    ordinal: int
    text: str
    text_hash: str
    attributes: DocumentAttributes
    vector: Vector | None = None


def refused_chunk(chunk: IndexedChunk, why: str) -> PoisonError:
    """The error for a `chunk` that an index never takes in."""
    return PoisonError(
        f"chunk {chunk.ordinal} of version {chunk.version} {why}",
        op="upsert",
        subject=chunk.attributes.uri,
        hint=f"refold ingest --force {chunk.attributes.uri}",
    )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What an index holds under a chunk id.

    `digest` is the chunk's text hash in a keyword index, SHA-256 of the stored float32 row in a vector index.
    """

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    ordinal: int
    digest: str

    @property
    def is_foreign(self) -> bool:
        """Whether refold did not write it: what is held under the id says no document."""
        return not self.document_id


def foreign_entry(chunk_id: ChunkId) -> IndexEntry:
    """What an index says that it holds under the id of something that refold did not write."""
    return IndexEntry(chunk_id, DocumentId(""), 0, 0, "")


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A hit of one backend; higher scores are better."""

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    ordinal: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which documents a search may answer with; all that are set must hold.

    `uri_prefix` is literal; `uri_glob` is fnmatch-like over the whole uri (``*`` crosses slashes); `source` equals the
    source root; times are nanoseconds since the epoch, from inclusive to exclusive; `metadata` is equality of pairs.
    """

    uri_prefix: str | None = None
    uri_glob: str | None = None
    source: str | None = None
    media_type: str | None = None
    modified_from_ns: int | None = None
    modified_to_ns: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class IndexBackend(Protocol):
    """What both kinds of index can do. One writer thread; searches and scans from any thread.

    One that keeps a folder is constructed with that folder, the name of the generation, and the keyword `create`, as
    `FolderGenerations` (`projections/backends/folder.py`) calls it.

    What others put into an index on a server is foreign: scanned and counted, read as `foreign_entry`, never found.
    """

    def check_mark(self) -> None:
        """Called before each turn of writing: the index is still the one that was opened.

        Raises:
            IndexForeign: it was deleted, or deleted and made again by others; nothing may be written then.
        """

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks` under their ids, replacing what was there; visible after `flush`."""

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id; absent ids are no error; gone after `flush`."""

    def flush(self) -> None:
        """Make everything so far durable *and* visible to searches that begin from now on."""

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids that are really there, in batches, in no order, each once."""

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`; absent ids are left out."""

    def count(self) -> int:
        """How many chunks are there."""

    def vacuum(self) -> None:
        """Give back the space of deleted chunks; cheap when there is little to do."""

    def size_bytes(self) -> int:
        """Bytes on disk."""

    def close(self) -> None:
        """Flush and let go of files; idempotent."""


class VectorBackend(IndexBackend, Protocol):
    """An index of vectors; similarity is the dot product of unit vectors (cosine)."""

    dim: int

    def search(self, vector: Vector, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` most similar chunks, best first; fewer only if there are no more.

        A chunk that is there all the time is not left out because others are deleted during the search.
        """


class KeywordBackend(IndexBackend, Protocol):
    """An index of words, which `projections/index/words.py` finds in texts and queries for all backends alike.

    Scores are BM25 with k1 = 1.2 and b = 0.75. A word that n of N chunks hold weighs ln(1 + (N - n + 0.5) / (n + 0.5)),
    a phrase as much as its words together; `projections/backends/memory/words.py` computes it in the open.
    """

    def search(self, query: str, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` best chunks that hold any of the query's words, best first; fewer only if there are no more.

        ``"quoted words"`` must stand together in that order; anything else in `query` is plain words: no input is a
        syntax error.
        """
