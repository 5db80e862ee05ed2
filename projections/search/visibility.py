"""Which hits a search may show: those whose version was served at any moment of its query."""

from __future__ import annotations

from enum import Enum

from projections.index.books.served import Standing


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
