"""The port of projections: what a recorded event means for a view, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from streams.log import Recorded

ChangeT_co = TypeVar("ChangeT_co", covariant=True)


class Projection(Protocol, Generic[ChangeT_co]):
    """Tells a view what to change; pure, and changes of different topics commute."""

    name: str
    version: int
    """Raised whenever `changes` means something else; a SQL view of an older version is rebuilt."""
    topics: Sequence[str]

    def changes(self, recorded: Recorded) -> Sequence[ChangeT_co]:
        """What `recorded` means for the view; empty for a kind it does not need. Changes may refer to artifacts."""
