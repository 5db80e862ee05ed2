"""The hits of an answer: what the indexes found, with the text that stands there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from projections.index.books.served import Standing
from projections.search.fusion import FusedChunk, Part
from projections.search.version_chunks import VersionChunks
from schemas.errors import PoisonError
from schemas.events import ArtifactRef
from schemas.ids import ChunkId, DocumentId
from streams.artifacts import ArtifactStore
from streams.stages.contents import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that answers a query; `text` is its document's text from character `start` to before `end`.

    `score` is the fused one in hybrid mode, else the index's own; `parts` says per index what it made of the chunk.
    """

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    uri: str
    title: str | None
    page: int | None
    ordinal: int
    start: int
    end: int
    text: str
    score: float
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that was found, and whose text cannot be read: its artifact is lost or damaged."""

    uri: str
    error: PoisonError


@dataclass(frozen=True, slots=True)
class _Source:
    uri: str
    title: str | None
    chunks: ArtifactRef


class HitReader:
    """Reads the texts of what was found. Thread-safe."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._chunks = VersionChunks(artifacts)

    def read(
        self, found: Sequence[FusedChunk], standings: Mapping[str, Mapping[DocumentId, Standing]], *, limit: int
    ) -> tuple[Sequence[Hit], Mapping[DocumentId, Unreadable]]:
        """The first `limit` of `found` whose text can be read, and the documents before them whose text cannot.

        `standings` says by index what it knows of each document that it found.
        """
        hits: list[Hit] = []
        unreadable: dict[DocumentId, Unreadable] = {}
        at = 0
        while len(hits) < limit and at < len(found):
            page = found[at : at + limit - len(hits)]
            at += len(page)
            # Where two indexes hold a chunk, both serve or served its version: either knows its source.
            sources = [_source(one, standings[next(iter(one.parts))][one.document_id]) for one in page]
            chunks, errors = self._read({source.chunks for source in sources})
            for one, source in zip(page, sources, strict=True):
                if source.chunks in errors:
                    unreadable[one.document_id] = Unreadable(source.uri, errors[source.chunks])
                else:
                    hits.append(_hit(one, source, chunks[source.chunks][one.ordinal]))
        return hits, unreadable

    def _read(
        self, refs: Collection[ArtifactRef]
    ) -> tuple[Mapping[ArtifactRef, Sequence[Chunk]], Mapping[ArtifactRef, PoisonError]]:
        """The chunks of `refs`, and what is wrong with those that cannot be read."""
        try:
            return self._chunks.read(refs), {}
        except PoisonError:
            pass  # one of them: each is read by itself
        chunks: dict[ArtifactRef, Sequence[Chunk]] = {}
        errors: dict[ArtifactRef, PoisonError] = {}
        for ref in refs:
            try:
                chunks |= self._chunks.read([ref])
            except PoisonError as error:
                errors[ref] = error
        return chunks, errors


def _source(one: FusedChunk, standing: Standing) -> _Source:
    last = standing.last
    assert last is not None  # noqa: S101 - a version of it was served
    chunks = last.chunks if one.version == last.version else standing.previous_chunks
    assert chunks is not None  # noqa: S101 - a version with a chunk has an artifact of its chunks
    return _Source(last.attributes.uri, last.title, chunks)


def _hit(one: FusedChunk, source: _Source, chunk: Chunk) -> Hit:
    return Hit(
        chunk_id=one.chunk_id,
        document_id=one.document_id,
        version=one.version,
        uri=source.uri,
        title=source.title,
        page=chunk.page,
        ordinal=one.ordinal,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=one.score,
        parts=one.parts,
    )
