"""Search."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from projections.filters import parse_filters
from projections.highlight import highlights
from projections.hits import Hit
from projections.search import SearchAnswer
from refold.control.messages import Emit, Json
from refold.engine import Engine
from refold.searching import find, search_mode


def search(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Hits and positions; see `ops/json-results.md`."""
    query, wait_for = str(arguments["query"]), arguments.get("wait_for")
    found = find(
        engine,
        query,
        mode=search_mode(str(arguments.get("mode", "hybrid"))),
        limit=int(arguments.get("limit", 10)),
        filters=parse_filters(arguments.get("filters") or []),
        wait_for=str(wait_for) if wait_for else None,
        emit=emit,
        stop=stop,
    )
    return answer_json(found, query)


def answer_json(found: SearchAnswer, query: str) -> Json:
    """An answer as results tell it."""
    return {
        "hits": [hit_json(hit, query) for hit in found.hits],
        "positions": {name: str(position) for name, position in found.positions.items()},
        "took_ms": round(found.took_ms, 3),
        "mode": found.mode.value,
        "parked": list(found.parked),
        "behind": dict(found.behind),
        "unavailable": [
            {"index": name, "error": str(error), "hint": error.hint} for name, error in found.unavailable.items()
        ],
        "unreadable": [
            {"document_id": document_id, "uri": one.uri, "error": str(one.error), "hint": one.error.hint}
            for document_id, one in found.unreadable.items()
        ],
    }


def hit_json(hit: Hit, query: str) -> Json:
    """A hit, with the places of the query's words in its text."""
    return {**asdict(hit), "highlights": [list(span) for span in highlights(hit.text, query)]}
