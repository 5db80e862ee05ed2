"""The best hits of a driver that can neither apply every filter itself nor order equal scores the same way twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from projections.index.backend import ScoredChunk

FoundT = TypeVar("FoundT")

SPARE_HITS = 4
"""Asked for beyond the limit at first: where scores differ, one is enough to know that no equal one is missing."""

GROWTH = 4
"""How many times as many are asked for when too few were admitted or the cut may part equal scores."""

MAX_EQUALS = 1_000
"""Hits looked at beyond the limit only to order equal scores by id; a corpus of copies must not cost a full read."""


def best(
    fetch: Callable[[int], Sequence[FoundT]], admit: Callable[[FoundT], ScoredChunk | None], *, limit: int
) -> list[ScoredChunk]:
    """The `limit` best hits, best first, equal scores by chunk id.

    `fetch(n)` gives the n best that the driver finds, in order, fewer only where there are no more: a short answer is
    taken for the end. `admit` makes a hit of one, or None of one that a filter keeps out.
    """
    if limit < 1:
        return []
    asked = limit + SPARE_HITS
    while (hits := best_of(fetch(asked), admit, limit=limit, asked=asked)) is None:
        asked *= GROWTH
    return hits


def best_of(
    found: Sequence[FoundT], admit: Callable[[FoundT], ScoredChunk | None], *, limit: int, asked: int
) -> list[ScoredChunk] | None:
    """The `limit` best of what was `found` when `asked` were wanted; None if one not found may belong among them."""
    hits = [hit for hit in map(admit, found) if hit is not None]
    if len(found) < asked or _is_settled(hits, limit):
        return ranked(hits)[:limit]
    return None


def ranked(hits: Sequence[ScoredChunk]) -> list[ScoredChunk]:
    """`hits` best first, equal scores by chunk id."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def _is_settled(hits: Sequence[ScoredChunk], limit: int) -> bool:
    # What was not fetched scores no more than the last one that was.
    return len(hits) >= limit + MAX_EQUALS or (len(hits) > limit and hits[limit - 1].score > hits[-1].score)
