"""Search."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from projections.filters import parse_filters
from projections.highlight import highlights
from projections.index_backend import Filters
from projections.search import Hit, SearchMode
from refold.commands import Emit, Json
from refold.engine import CATCH_UP_TIMEOUT_S, INDEXES, Engine
from refold.waiting import wait_until_searchable
from schemas.errors import UsageError

FRESH_TIMEOUT_S = 30.0
"""A new owner lets the indexes catch up with what the log already holds for this long before it answers."""


def search(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Hits and positions; see `ops/json-results.md`."""
    del emit
    mode = _mode(str(arguments.get("mode", "hybrid")))
    filters = parse_filters(arguments.get("filters") or [])
    waited = wait_until_searchable(engine, arguments["wait_for"], stop) if arguments.get("wait_for") else {}
    for name in INDEXES:
        if name in engine.index_errors and mode.value in {name, "hybrid"}:
            raise engine.index_errors[name]
    return {
        **answer(engine, arguments["query"], mode=mode, limit=int(arguments.get("limit", 10)), filters=filters),
        **waited,
    }


def answer(engine: Engine, query: str, *, mode: SearchMode, limit: int, filters: Filters | None) -> Json:
    """The search itself."""
    found = engine.parts.search.search(query, mode=mode, limit=limit, filters=filters)
    return {
        "hits": [hit_json(hit, query) for hit in found.hits],
        "positions": {name: str(position) for name, position in found.positions.items()},
        "took_ms": round(found.took_ms, 3),
        "mode": found.mode.value,
    }


def hit_json(hit: Hit, query: str) -> Json:
    """A hit, with the places of the query's words in its text."""
    return {**asdict(hit), "highlights": [list(span) for span in highlights(hit.text, query)]}


def _mode(name: str) -> SearchMode:
    try:
        return SearchMode(name)
    except ValueError as error:
        known = ", ".join(SearchMode)
        raise UsageError(f"there is no search mode {name!r}", op="search", hint=f"choose one of: {known}") from error


__all__ = ["CATCH_UP_TIMEOUT_S", "answer", "hit_json", "search"]
