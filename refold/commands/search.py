"""Search: hits, once what was waited for is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from projections.index.backend import Filters
from projections.search.filters import parse_filters
from projections.search.highlight import highlights
from projections.search.hits import Hit
from projections.search.search import SearchAnswer, SearchMode
from refold.commands.waiting import wait_for_position, wait_until_searchable
from refold.control.messages import Emit, Json
from refold.engine.engine import INDEXES, Engine, NotThereYet
from schemas.errors import DiskFull, RefoldError, UsageError
from schemas.ids import DocumentId

FRESH_TIMEOUT_S = 30.0
"""A new owner lets the indexes catch up with what the log already holds for this long before it answers."""

TELL_EVERY_S = 1.0
"""Between two reports of how far behind they are."""


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
    """An answer as results show it."""
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


def search_mode(name: str) -> SearchMode:
    """The mode called `name`; UsageError if there is none."""
    try:
        return SearchMode(name)
    except ValueError as error:
        known = ", ".join(SearchMode)
        raise UsageError(f"there is no search mode {name!r}", op="search", hint=f"choose one of: {known}") from error


def find(
    engine: Engine,
    query: str,
    *,
    mode: SearchMode,
    limit: int,
    filters: Filters | None,
    wait_for: str | None,
    emit: Emit,
    stop: threading.Event,
) -> SearchAnswer:
    """The answer to `query`, once `wait_for` is searchable and the indexes hold what was there when the owner began."""
    errors = engine.index_errors  # asking may open an index that has been mended
    names = _searchable(mode, errors)
    parked: Collection[DocumentId] = ()
    if wait_for is not None:
        parked = wait_until_searchable(engine, wait_for, stop, names)
    behind = _caught_up(engine, names, emit, stop)
    answer = engine.parts.search.search(query, mode=mode, limit=limit, filters=filters, without=errors)
    return replace(answer, parked=sorted(parked), behind=behind)


def _searchable(mode: SearchMode, errors: Mapping[str, RefoldError]) -> Collection[str]:
    """The indexes that are asked, but for one of two that cannot be.

    Raises:
        RefoldError: what is wrong with the only one, or with both.
    """
    names = [name for name in INDEXES if mode.value in {name, "hybrid"}]
    searchable = [name for name in names if name not in errors]
    if not searchable:
        raise errors[names[0]]
    return searchable


def _caught_up(engine: Engine, names: Collection[str], emit: Emit, stop: threading.Event) -> Mapping[str, int]:
    """Wait for the indexes `names`, and say which are behind all the same, by how many events.

    They have to hold what the log did when its owner began: later searches of a busy owner wait for nothing.
    """
    if not engine.began_at:
        return {}  # in a cluster projectors are always at work
    deadline_s = time.monotonic() + FRESH_TIMEOUT_S
    while True:
        left_s = deadline_s - time.monotonic()
        try:
            wait_for_position(engine, engine.began_at, stop, names, timeout_s=max(min(left_s, TELL_EVERY_S), 0.0))
        except NotThereYet:
            behind = _behind(engine, names)
            if left_s <= TELL_EVERY_S:
                return behind
            emit({"type": "behind", "events": dict(behind)})
        except DiskFull:
            return _behind(engine, names)  # it does not go on; what it holds can be searched
        else:
            return {}


def _behind(engine: Engine, names: Collection[str]) -> Mapping[str, int]:
    return {
        status.name: status.lag_events
        for status in engine.statuses()
        if status.name in names and not status.position.reaches(engine.began_at.only({tp.topic for tp in status.head}))
    }
