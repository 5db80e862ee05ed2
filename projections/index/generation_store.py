"""The port of places where the generations of one index live; the technologies stand in `projections/backends/`."""

from __future__ import annotations

from typing import Protocol, TypeVar

from projections.index.backend import IndexBackend

BackendT_co = TypeVar("BackendT_co", bound=IndexBackend, covariant=True)


class GenerationStore(Protocol[BackendT_co]):
    """Where the generations of one index live: a folder each, or a collection or index on a server each.

    Which of them is current and live is said by rows in SQL (`projections/index/books/generations.py`); a store
    follows them.
    """

    @property
    def location(self) -> str:
        """Where that is, for error messages."""

    def open(self, generation: str, *, create: bool) -> BackendT_co:
        """The index of `generation`, made from scratch if `create`.

        Raises:
            IndexForeign: there is no index of `generation`, or something else stands in its place.
        """

    def drop_others(self, spared: str | None) -> None:
        """Drop every generation of this index but `spared`, and nothing that is not this index's; idempotent.

        Called while no other process begins a generation. An error stops the opening of the index.
        """

    def point_alias(self, generation: str) -> None:
        """Let other readers find `generation`, which is live, by a name that stays; idempotent. Nothing for folders.

        Called after the row that says so, and again at each opening.

        Raises:
            IndexForeign: there is no index of `generation` any more.
        """
