"""How an index is: what a person, a search and a wait have to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import RefoldError


class Condition(StrEnum):
    """How an index is.

    ``open``: searched and at the end of the log. ``behind``: searched, and the log is ahead of it. ``being_written``:
    a new generation of it is being written; until then the old one is searched if it stands. ``damaged``: it cannot be
    opened, or what follows the log with it has stopped.
    """

    OPEN = "open"
    BEHIND = "behind"
    BEING_WRITTEN = "being_written"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class IndexState:
    """How the index called `name` is.

    Attributes:
        name: The index.
        condition: In a word.
        error: What is wrong with it, with a hint; None while nothing is.
        is_searchable: Whether it answers searches; `error` says why where it does not.
    """

    name: str
    condition: Condition
    error: RefoldError | None = None
    is_searchable: bool = True
