"""What a projection asks of an index: to serve a version of a document, to withdraw it, to write it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projections.index.backend import DocumentAttributes
from schemas.events import ArtifactRef, DocumentCompleted, DocumentRemoved, RepairRequested, VectorsRef
from schemas.ids import DocumentId
from streams.log import Recorded

INDEX_TOPICS = ("documents", "operations")
"""What indexes are built from; repairs are asked for in `operations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """What an index is: its generations are bound to one embedder and one mapping.

    `embedder` and `dim` are None for an index without vectors; `mapping` names how texts become entries.
    """

    name: str
    mapping: str
    embedder: str | None = None
    dim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeVersion:
    """From now on the index answers with this version; all that is needed to write it, now or again.

    `vectors` are those of the index's embedder: None for an index without vectors, and where the version has none yet.
    `offset` is that of the DocumentCompleted in its partition of `documents`.
    """

    document_id: DocumentId
    version: int
    sequence: int
    offset: int
    chunk_count: int
    chunks: ArtifactRef | None
    vectors: VectorsRef | None
    attributes: DocumentAttributes
    title: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """From now on the index answers with no version of this document."""

    document_id: DocumentId
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Write these documents again, and sweep up what the index holds of them beyond that."""

    document_ids: Sequence[DocumentId]


IndexChange = ServeVersion | Withdraw | Rewrite


def index_changes(recorded: Recorded, spec: IndexSpec) -> Sequence[IndexChange]:
    """What `recorded` means for the index `spec`."""
    match recorded.event:
        case DocumentCompleted() as completed:
            return (_serve_version(completed, offset=recorded.offset, embedder=spec.embedder),)
        case DocumentRemoved(document_id=document_id, meta=meta):
            return (Withdraw(document_id=document_id, sequence=meta.sequence),)
        case RepairRequested(index=spec.name, document_ids=document_ids):
            return (Rewrite(document_ids=document_ids),)
        case _:
            return ()


def _serve_version(completed: DocumentCompleted, *, offset: int, embedder: str | None) -> ServeVersion:
    return ServeVersion(
        document_id=completed.document_id,
        version=completed.version,
        sequence=completed.meta.sequence,
        offset=offset,
        chunk_count=completed.chunk_count,
        chunks=completed.chunks,
        vectors=next((vectors for vectors in completed.vectors if vectors.embedder == embedder), None),
        attributes=DocumentAttributes(
            uri=completed.uri,
            source_root=completed.source_root,
            media_type=completed.media_type,
            modified_at_ns=completed.finding.modified_at_ns if completed.finding else None,
            metadata=completed.metadata,
        ),
        title=completed.title,
    )


KEYWORD = "keyword"
"""The index's name, in the log, in positions and on the command line."""

KEYWORD_MAPPING = "words"
"""How texts become entries: Unicode words, lower-cased, ASCII-folded, not stemmed."""


class KeywordIndex:
    """Tells the keyword index what to serve."""

    name = KEYWORD
    version = 1
    topics: Sequence[str] = INDEX_TOPICS
    spec = IndexSpec(name=KEYWORD, mapping=KEYWORD_MAPPING)

    def changes(self, recorded: Recorded) -> Sequence[IndexChange]:
        """What `recorded` means for the keyword index."""
        return index_changes(recorded, self.spec)


VECTOR = "vector"
"""The index's name, in the log, in positions and on the command line."""

VECTOR_MAPPING = "cosine"
"""How texts become entries, besides by the embedder: unit vectors compared by their dot product."""


class VectorIndex:
    """Tells the vector index what to serve, with the vectors of one embedder.

    A VectorsAdded means nothing to it: versions without this embedder's vectors stay awaiting until the next version.
    """

    name = VECTOR
    version = 1
    topics: Sequence[str] = INDEX_TOPICS

    def __init__(self, *, embedder: str, dim: int) -> None:
        self.spec = IndexSpec(name=VECTOR, mapping=VECTOR_MAPPING, embedder=embedder, dim=dim)

    def changes(self, recorded: Recorded) -> Sequence[IndexChange]:
        """What `recorded` means for the vector index."""
        return index_changes(recorded, self.spec)
