"""Search over both indexes: by vector, by words, or by both with their rankings fused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from projections.index.backend import Filters, IndexForeign, KeywordBackend, VectorBackend
from projections.index.view.view import IndexView
from projections.search.fusion import fuse
from projections.search.hits import Hit, HitReader, Unreadable
from projections.search.visible_hits import DocumentsMoved, VisibleHits, visible_hits
from schemas.errors import MachineError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.ids import DocumentId
from schemas.positions import Position
from streams.artifacts import ArtifactStore
from streams.stages.embed import Embedder

DEFAULT_LIMIT = 10

FUSION_DEPTH = 30
"""Hits of each index that fusion looks at, at least."""

DEPTH_PER_HIT = 3
"""Hits of each index that fusion looks at for each hit of the answer."""

NOTHING: Mapping[str, RefoldError] = {}

MAX_RUNS = 8
"""How often a query runs before it is given up because documents keep switching."""


class SearchMode(StrEnum):
    """Which indexes answer."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    KEYWORD = "keyword"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The hits, best first, and how far the log was in each index that answered.

    `unavailable` says by index why one of the two did not: the hits are the other's then. `unreadable` are documents
    that belong among the hits and cannot be shown, because their texts are lost or damaged. A caller that waited first
    adds the rest: `parked` are the documents that an index could not apply, where a position was waited for; `behind`
    how many events an index was still behind what the log held when its owner began.
    """

    hits: Sequence[Hit]
    positions: Mapping[str, Position]
    took_ms: float
    mode: SearchMode
    parked: Sequence[DocumentId] = ()
    behind: Mapping[str, int] = field(default_factory=dict)
    unavailable: Mapping[str, RefoldError] = field(default_factory=dict)
    unreadable: Mapping[DocumentId, Unreadable] = field(default_factory=dict)


_Ask = Callable[[int], VisibleHits]

_BEYOND_USE = (IndexForeign, MachineError, UnreachableError)
"""What an index says that cannot be asked at all; whatever else it raises is about the query."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What the indexes answered, by name, and why one of them did not."""

    visible: Mapping[str, VisibleHits]
    positions: Mapping[str, Position]
    unavailable: Mapping[str, RefoldError]


class Search:
    """Searches the two indexes. Thread-safe.

    Args:
        vector: The vector index.
        keyword: The keyword index.
        embedder: Loads the embedder of the vector index; called at the first query that needs it.
        artifacts: Where the texts of chunks are.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        vector: IndexView[VectorBackend],
        keyword: IndexView[KeywordBackend],
        embedder: Callable[[], Embedder],
        artifacts: ArtifactStore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vector = vector
        self._keyword = keyword
        self._embedder = cache(embedder)
        self._hits = HitReader(artifacts)
        self._monotonic = monotonic

    def search(
        self,
        query: str,
        *,
        mode: SearchMode = SearchMode.HYBRID,
        limit: int = DEFAULT_LIMIT,
        filters: Filters | None = None,
        without: Mapping[str, RefoldError] = NOTHING,
    ) -> SearchAnswer:
        """The `limit` best chunks for `query`; of the index that can be asked, where two were meant and one cannot.

        Those in `without` are not asked, for what stands there.

        Raises:
            UsageError: there is nothing to search for.
            RefoldError: no index that was meant can be asked, or nothing that was found can be read, and why.
            TransientError: documents kept switching while they were searched.
        """
        if not query.strip():
            raise UsageError("a search needs words", op="search", hint='refold search "what to look for"')
        if limit < 1:
            raise UsageError(f"a limit of {limit} leaves no hits", op="search", hint="give a limit of at least 1")
        began_s = self._monotonic()
        asks = self._asks(query, mode, filters)
        for _ in range(MAX_RUNS):
            try:
                hits, unreadable, found = self._run(asks, limit, without)
            except DocumentsMoved:
                continue
            if unreadable and not hits:
                raise next(iter(unreadable.values())).error
            return SearchAnswer(
                hits=hits,
                positions=found.positions,
                took_ms=(self._monotonic() - began_s) * 1_000,
                mode=mode,
                unavailable=found.unavailable,
                unreadable=unreadable,
            )
        raise TransientError("documents change faster than they can be searched", op="search", hint="try again")

    def _asks(self, query: str, mode: SearchMode, filters: Filters | None) -> Mapping[str, _Ask]:
        asks: dict[str, _Ask] = {}
        if mode is not SearchMode.KEYWORD:
            vector = self._embedder().embed([query])[0]
            asks[self._vector.name] = lambda wanted: visible_hits(
                self._vector, lambda backend, limit: backend.search(vector, limit=limit, filters=filters), wanted=wanted
            )
        if mode is not SearchMode.VECTOR:
            asks[self._keyword.name] = lambda wanted: visible_hits(
                self._keyword, lambda backend, limit: backend.search(query, limit=limit, filters=filters), wanted=wanted
            )
        return asks

    def _run(
        self, asks: Mapping[str, _Ask], limit: int, without: Mapping[str, RefoldError]
    ) -> tuple[Sequence[Hit], Mapping[DocumentId, Unreadable], _Found]:
        began_s = self._monotonic()
        found = self._ask_all(asks, max(limit * DEPTH_PER_HIT, FUSION_DEPTH), without)
        fused = fuse({name: visible.hits for name, visible in found.visible.items()})
        standings = {name: visible.standings for name, visible in found.visible.items()}
        hits, unreadable = self._hits.read(fused, standings, limit=limit)
        if self._monotonic() - began_s > self._longest_query_s:
            raise DocumentsMoved  # what it found may have been deleted while it looked
        return hits, unreadable, found

    def _ask_all(self, asks: Mapping[str, _Ask], wanted: int, without: Mapping[str, RefoldError]) -> _Found:
        visible: dict[str, VisibleHits] = {}
        positions: dict[str, Position] = {}
        unavailable = {name: without[name] for name in asks if name in without}
        for name, ask in asks.items():
            if name in unavailable:
                continue
            try:
                position = self._views[name].position()  # before the hits: what is found is at least as new as this
                visible[name] = ask(wanted)
                positions[name] = position
            except RefoldError as exc:
                if not isinstance(exc, _BEYOND_USE) and exc is not self._views[name].damage:
                    raise
                unavailable[name] = exc
        if not visible:
            raise next(iter(unavailable.values()))
        return _Found(visible, positions, unavailable)

    @property
    def _views(self) -> Mapping[str, IndexView[VectorBackend] | IndexView[KeywordBackend]]:
        return {self._vector.name: self._vector, self._keyword.name: self._keyword}

    @property
    def _longest_query_s(self) -> float:
        return min(view.longest_query_s for view in self._views.values())
