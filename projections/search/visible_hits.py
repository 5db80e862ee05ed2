"""What one index answers a query with: hits whose version was served at any moment of the query, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from projections.index.backend import IndexBackend, ScoredChunk
from projections.index.books.served import Standing
from projections.index.view.view import IndexView
from projections.search.fusion import newest_versions
from schemas.ids import DocumentId


class Visibility(Enum):
    """What to do with a hit."""

    SHOW = "show"
    HIDE = "hide"
    ASK_AGAIN = "ask again"
    """Its document switched twice since the query began: what was served in between is no longer known."""


def visibility_of(version: int, standing: Standing | None, *, since_us: int) -> Visibility:
    """Whether a query may show a hit of `version`; `standing` was read after the hit.

    `since_us` is the index's latest moment (`projections/index/books/moments.py`) when the query began, before
    anything was found.
    """
    if standing is None:
        return Visibility.HIDE
    if version == standing.version:
        return Visibility.SHOW
    if standing.switched_at_us <= since_us:
        return Visibility.HIDE
    if version == standing.previous_version:
        return Visibility.SHOW
    before = standing.previous_switched_at_us
    return Visibility.ASK_AGAIN if before is not None and before > since_us else Visibility.HIDE


BackendT = TypeVar("BackendT", bound=IndexBackend)

SPARE_HITS = 10
"""Hits asked for beyond those wanted: what a document or two leave behind when they change."""

GROWTH = 4
"""How many times as many are asked for when too few of them may be shown."""


class DocumentsMoved(Exception):  # noqa: N818 - a state that makes a query run again; it never leaves a search
    """Documents switched versions faster than the query could decide what it saw."""


@dataclass(frozen=True, slots=True)
class VisibleHits:
    """Hits that may be shown, best first, and what was served of their documents when they were found."""

    hits: Sequence[ScoredChunk]
    standings: Mapping[DocumentId, Standing]


def visible_hits(
    view: IndexView[BackendT],
    ask: Callable[[BackendT, int], Sequence[ScoredChunk]],
    *,
    wanted: int,
) -> VisibleHits:
    """The best `wanted` hits that may be shown, fewer if there are no more; `ask` searches for a number of hits.

    Of a document that switches during the query only the newer version's hits stay.

    Raises:
        DocumentsMoved: the query has to run again.
    """
    asked = wanted + SPARE_HITS
    with view.searching() as opened:
        since_us = opened.books.moment()
        while True:
            found = ask(opened.backend, asked)
            # Read after the hits were found: what was served by then, or before, is known from here on.
            standings = opened.books.standings({hit.document_id for hit in found})
            shown = _shown(
                found, [visibility_of(h.version, standings.get(h.document_id), since_us=since_us) for h in found]
            )
            if len(shown) >= wanted or len(found) < asked:  # a backend that finds fewer has no more: see its port
                return VisibleHits(shown[:wanted], standings)
            asked *= GROWTH


def _shown(found: Sequence[ScoredChunk], visibilities: Sequence[Visibility]) -> Sequence[ScoredChunk]:
    if Visibility.ASK_AGAIN in visibilities:
        raise DocumentsMoved
    served = [hit for hit, one in zip(found, visibilities, strict=True) if one is Visibility.SHOW]
    newest = newest_versions(served)
    return [hit for hit in served if hit.version == newest[hit.document_id]]
