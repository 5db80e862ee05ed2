"""Generations on a server whose driver is loaded when something is asked of them: that takes half a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Generic

from projections.index.generation_store import BackendT_co, GenerationStore


class DeferredGenerations(Generic[BackendT_co]):
    """The store that `make` gives, made at the first use of it; see the port.

    Args:
        location: Where it is.
        make: Imports the driver and gives the store; connects to nothing.
    """

    def __init__(self, location: str, make: Callable[[], GenerationStore[BackendT_co]]) -> None:
        self.location = location
        self._make = make

    @cached_property
    def _store(self) -> GenerationStore[BackendT_co]:
        return self._make()

    def open(self, generation: str, *, create: bool) -> BackendT_co:
        """The index of `generation`."""
        return self._store.open(generation, create=create)

    def drop_others(self, spared: str | None) -> None:
        """Drop every generation of this index but `spared`."""
        self._store.drop_others(spared)

    def point_alias(self, generation: str) -> None:
        """Let other readers find `generation`, which is live."""
        self._store.point_alias(generation)
