"""The slots that a process owns, each at work in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from refold.cluster.watchdog import PATIENCE_S
from refold.engine.slots import OwnedSlot
from schemas.errors import RefoldError
from schemas.positions import TopicPartition

DRAIN_S: Final = 10.0
"""How long documents in progress may take when slots are given up: a third of what Kafka waits for a rebalance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """How a slot is doing.

    Attributes:
        taken_offset: The offset of `requests` before which it has durably taken everything.
        in_flight: Documents in progress.
        error: What has stopped it.
        silent_s: For how long its committer thread has not gone round.
    """

    number: int
    taken_offset: int
    in_flight: int
    error: RefoldError | None
    silent_s: float = 0.0


class SlotSet:
    """Takes slots, which `make` makes by their numbers, and gives them up, as an assignment says. Thread-safe."""

    def __init__(self, make: Callable[[int], OwnedSlot]) -> None:
        self._make = make
        self._owned: dict[int, OwnedSlot] = {}
        self._lock = threading.Lock()

    @property
    def numbers(self) -> Collection[int]:
        """The slots that are owned now."""
        return list(self._owned)

    def assign(self, numbers: Collection[int], *, drain_s: float = DRAIN_S) -> None:
        """Own exactly `numbers`: others are given up first, new ones are taken."""
        self.give_up([number for number in self.numbers if number not in numbers], drain_s=drain_s)
        with self._lock:
            for number in numbers:
                if number not in self._owned:
                    owned = self._owned[number] = self._make(number)
                    owned.start()

    def give_up(self, numbers: Collection[int], *, drain_s: float = DRAIN_S) -> None:
        """Let documents in progress on slots `numbers` finish for `drain_s`, release the rest; blocks."""
        with self._lock:
            leaving = [owned for number in numbers if (owned := self._owned.pop(number, None)) is not None]
        if not leaving:
            return
        with ThreadPoolExecutor(len(leaving), thread_name_prefix="give-up") as threads:  # one budget for all of them
            list(threads.map(lambda owned: owned.thread.stop(drain_s), leaving))

    def owns(self, number: int) -> bool:
        """Whether slot `number` is owned now."""
        return number in self._owned

    def delivered(self, number: int) -> None:
        """There is something new in `requests` of slot `number`."""
        owned = self._owned.get(number)
        if owned is not None:
            owned.thread.wake()

    def taken_offset(self, number: int) -> int | None:
        """The offset of `requests` before which slot `number` has durably taken everything; None if it is not owned."""
        owned = self._owned.get(number)
        return None if owned is None else _taken(owned, number)

    def check(self) -> None:
        """Raise what has stopped one of the slots, if anything has."""
        for owned in list(self._owned.values()):
            if owned.thread.error is not None:
                raise owned.thread.error

    def not_ready(self) -> Sequence[str]:
        """What has stopped slots or holds them up, for people."""
        statuses = self.statuses()
        stopped = [f"slot {one.number}: {one.error}" for one in statuses if one.error is not None]
        silent = [one for one in statuses if one.error is None and one.silent_s >= PATIENCE_S]
        return [*stopped, *(f"slot {one.number}: it has not gone round for {one.silent_s:.0f} s" for one in silent)]

    def statuses(self) -> Sequence[SlotStatus]:
        """How the slots are doing that are owned now, by number."""
        return [
            SlotStatus(
                number=number,
                taken_offset=_taken(owned, number),
                in_flight=owned.slot.in_flight,
                error=owned.thread.error,
                silent_s=owned.thread.silent_s,
            )
            for number, owned in sorted(self._owned.copy().items())
        ]


def _taken(owned: OwnedSlot, number: int) -> int:
    return owned.slot.seen.offset(TopicPartition("requests", number))
