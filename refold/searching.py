"""A search that waits for what it has to show."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from projections.index_backend import Filters
from projections.search import SearchAnswer, SearchMode
from refold.control.messages import Emit
from refold.engine import INDEXES, Engine, NotThereYet
from refold.waiting import wait_for_position, wait_until_searchable
from schemas.errors import DiskFull, RefoldError, UsageError
from schemas.ids import DocumentId

FRESH_TIMEOUT_S = 30.0
"""A new owner lets the indexes catch up with what the log already holds for this long before it answers."""

TELL_EVERY_S = 1.0
"""Between two words on how far behind they are."""


def search_mode(name: str) -> SearchMode:
    """The mode called `name`.

    Raises:
        UsageError: there is none.
    """
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
    errors = engine.index_errors  # asking may open what somebody has mended
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
