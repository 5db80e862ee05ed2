"""Reciprocal rank fusion: one ranking out of several whose scores cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from projections.index.backend import ScoredChunk
from schemas.ids import ChunkId, DocumentId

RANK_CONSTANT = 60
"""k of Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one index made of a hit: its rank there, from 1, and that index's own score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class FusedChunk:
    """A chunk with its place in all rankings that hold it; higher scores are better."""

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    ordinal: int
    score: float
    parts: Mapping[str, Part]


def newest_versions(hits: Iterable[ScoredChunk]) -> dict[DocumentId, int]:
    """The newest version of each document among `hits`."""
    newest: dict[DocumentId, int] = {}
    for hit in hits:
        newest[hit.document_id] = max(hit.version, newest.get(hit.document_id, 0))
    return newest


def fuse(rankings: Mapping[str, Sequence[ScoredChunk]]) -> list[FusedChunk]:
    """One ranking of the chunks in `rankings` (best first, by index name).

    Where the indexes hold different versions of a document, only chunks of the newest one stay. A single ranking keeps
    its own scores.
    """
    newest = newest_versions(hit for ranking in rankings.values() for hit in ranking)
    hits: dict[ChunkId, ScoredChunk] = {}
    parts: dict[ChunkId, dict[str, Part]] = {}
    for name, ranking in rankings.items():
        current = [hit for hit in ranking if hit.version == newest[hit.document_id]]
        for rank, hit in enumerate(current, start=1):
            hits[hit.chunk_id] = hit
            parts.setdefault(hit.chunk_id, {})[name] = Part(rank, hit.score)
    is_alone = len(rankings) == 1
    fused = [_fused(hit, parts[chunk_id], is_alone=is_alone) for chunk_id, hit in hits.items()]
    return sorted(fused, key=lambda chunk: (-chunk.score, chunk.chunk_id))


def _fused(hit: ScoredChunk, parts: Mapping[str, Part], *, is_alone: bool) -> FusedChunk:
    score = hit.score if is_alone else sum(1 / (RANK_CONSTANT + part.rank) for part in parts.values())
    return FusedChunk(hit.chunk_id, hit.document_id, hit.version, hit.ordinal, score, parts)
