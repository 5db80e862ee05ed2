"""Holding an index still while it is compared with the log: the projector that keeps it applies nothing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine as SqlEngine

from projections.leases import Lease, Leases
from schemas.errors import TransientError
from schemas.ids import random_id

HOLD_S = 15.0
"""A comparer that was killed holds an index up for so long."""


class IndexHeld(TransientError):  # noqa: N818 - a state, as in the error tree
    """Somebody compares the index with the log."""


class Holds:
    """Holds on indexes, in the database of `engine`."""

    def __init__(self, engine: SqlEngine) -> None:
        self._leases = Leases(engine, duration_s=HOLD_S)

    def refuse(self, index: str) -> None:
        """Raise IndexHeld if `index` is held; to be asked before anything is written to it."""
        if _name(index) in self._leases.holders():
            raise IndexHeld(f"the {index} index is being compared with the log", op="apply", subject=index)

    @contextmanager
    def held(self, indexes: Collection[str]) -> Iterator[None]:
        """Hold `indexes` until the block is left; a batch that is being applied ends first or meanwhile.

        Raises:
            IndexHeld: somebody else holds one of them.
        """
        holder, taken = random_id(), list[Lease]()
        is_over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(taken, is_over), name="hold", daemon=True)
        try:
            for index in indexes:
                lease = self._leases.take(_name(index), holder)
                if lease is None:
                    raise IndexHeld(
                        f"the {index} index is being compared by somebody else", op="hold", hint="try again later"
                    )
                taken.append(lease)
            renewing.start()
            yield
        finally:
            is_over.set()
            for lease in taken:
                self._leases.release(lease)

    def _renew(self, taken: list[Lease], is_over: threading.Event) -> None:
        while not is_over.wait(HOLD_S / 3):
            try:
                for lease in taken:
                    self._leases.renew(lease)
            except TransientError:
                continue


def _name(index: str) -> str:
    return f"hold:{index}"
