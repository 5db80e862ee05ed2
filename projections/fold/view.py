"""The port of views: what projections build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from schemas.errors import FatalError
from schemas.positions import Position

ChangeT_contra = TypeVar("ChangeT_contra", contravariant=True)
EntryT_co = TypeVar("EntryT_co", covariant=True)


class PositionConflict(FatalError):  # noqa: N818 - a state, as in the error tree
    """The view does not stand where this writer thinks: another writer is active."""


class GenerationGone(PositionConflict):
    """What this writer builds is gone: another process has begun it again. To go on, the view is opened again."""


class View(Protocol, Generic[ChangeT_contra, EntryT_co]):
    """Something built from changes, with the position it was built up to, stored together with it."""

    def position(self) -> Position:
        """How far the log is in this view; read from where it is stored, so that every process agrees."""

    def apply(self, changes: Sequence[ChangeT_contra], expected: Position, at: Position) -> None:
        """Apply `changes` and move the position from `expected` to `at`, as one step; replaying changes nothing.

        Raises:
            PositionConflict: the view does not stand at `expected` (compare-and-set, per partition).
            SequenceHole: a document's sequence is not unbroken (`streams/documents/evolve.py`).
        """

    def scan(self) -> Iterator[EntryT_co]:
        """What is really there."""
