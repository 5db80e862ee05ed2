"""Holding an index still while it is compared with the log: the projector that keeps it applies nothing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import Engine as SqlEngine

from projections.sql.leases import Lease, Leases
from schemas.errors import TransientError
from schemas.ids import random_id

HOLD_S = 15.0
"""A comparer that was killed holds an index up for so long."""


class IndexHeld(TransientError):  # noqa: N818 - a state, as in the error tree
    """The index is being compared with the log."""


class HoldLost(TransientError):  # noqa: N818 - as above
    """A hold ran out before it was given up: what was held may have changed meanwhile."""


class Holds:
    """Holds on indexes, as rows in `database`; one that is not renewed for `hold_s` runs out."""

    def __init__(self, database: SqlEngine, *, hold_s: float = HOLD_S) -> None:
        self._leases = Leases(database, duration_s=hold_s)

    def refuse(self, index: str) -> None:
        """Raise IndexHeld if `index` is held; to be asked before anything is written to it."""
        if _name(index) in self._leases.holders():
            raise IndexHeld(f"the {index} index is being compared with the log", op="apply", subject=index)

    @contextmanager
    def held(self, indexes: Collection[str]) -> Iterator[Hold]:
        """Hold `indexes` until the block is left; a batch that is being applied ends first or meanwhile.

        Raises:
            IndexHeld: another process holds one of them.
            HoldLost: at the end of the block; the hold did not last to there, so nothing that was seen counts.
            TransientError: at the end of the block; the database cannot tell whether it did.
        """
        holder, taken = random_id(), list[Lease]()
        hold = Hold(self._leases, taken)
        try:
            for index in indexes:
                lease = self._leases.take(_name(index), holder)
                if lease is None:
                    raise IndexHeld(
                        f"the {index} index is being compared by somebody else", op="hold", hint="try again later"
                    )
                taken.append(lease)
            hold.begin_renewing()
            yield hold
            hold.check()
        finally:
            hold.end()


class Hold:
    """A hold that is renewed in a thread of its own, three times in the duration of its leases."""

    def __init__(self, leases: Leases, taken: Sequence[Lease]) -> None:
        self._leases = leases
        self._taken = taken
        self._is_lost = False
        self._is_over = threading.Event()
        self._renewing = threading.Thread(target=self._renew_on, name="hold", daemon=True)

    def begin_renewing(self) -> None:
        """Keep it from running out from now on."""
        self._renewing.start()

    def check(self) -> None:
        """Return if it has held until now.

        Raises:
            HoldLost: it ran out meanwhile, whether another process took it then or not.
            TransientError: the database cannot be asked.
        """
        self._renew()
        if self._is_lost:
            raise HoldLost(
                "the indexes were not held still to the end: this process, or the database, stood still for longer "
                f"than {self._leases.duration_s:.0f} s",
                op="hold",
                hint="run it again",
            )

    def end(self) -> None:
        """Give it up; idempotent."""
        self._is_over.set()
        with suppress(TransientError):  # else it runs out by itself
            for lease in self._taken:
                self._leases.release(lease)

    def _renew(self) -> None:
        if not all(self._leases.renew(lease) for lease in self._taken):
            self._is_lost = True

    def _renew_on(self) -> None:
        while not self._is_over.wait(self._leases.duration_s / 3):
            try:
                self._renew()
            except TransientError:
                continue  # it may still be held, which the next renewal shows


def _name(index: str) -> str:
    return f"hold:{index}"
