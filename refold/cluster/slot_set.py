"""The slots that a process owns, each at work in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from schemas.positions import TopicPartition
from streams.slot import Slot
from streams.worker import SlotWorker

DRAIN_S: Final = 10.0
"""How long what is in work may finish when slots are given up: a third of what Kafka waits for a rebalance."""


@dataclass(frozen=True, slots=True)
class OwnedSlot:
    """A slot and the thread it lives in."""

    slot: Slot
    worker: SlotWorker


class SlotSet:
    """Takes slots and gives them up, as an assignment says. Thread-safe.

    Args:
        make: Makes the slot of a number, with its worker, not started.
    """

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
                    owned.worker.start(owned.slot)

    def give_up(self, numbers: Collection[int], *, drain_s: float = DRAIN_S) -> None:
        """Let what is in work on slots `numbers` finish until `drain_s` are over, release the rest; blocks."""
        with self._lock:
            leaving = [owned for number in numbers if (owned := self._owned.pop(number, None)) is not None]
        if not leaving:
            return
        with ThreadPoolExecutor(len(leaving), thread_name_prefix="give-up") as threads:  # one budget for all of them
            list(threads.map(lambda owned: owned.worker.stop(drain_s), leaving))

    def owns(self, number: int) -> bool:
        """Whether slot `number` is owned now."""
        return number in self._owned

    def delivered(self, number: int) -> None:
        """There is something new in `requests` of slot `number`."""
        owned = self._owned.get(number)
        if owned is not None:
            owned.worker.wake()

    def taken_offset(self, number: int) -> int | None:
        """The offset of `requests` before which slot `number` has durably taken everything; None if it is not owned."""
        owned = self._owned.get(number)
        return None if owned is None else owned.slot.seen.offset(TopicPartition("requests", number))

    def check(self) -> None:
        """Raise what has stopped one of the slots, if anything has."""
        for owned in list(self._owned.values()):
            if owned.worker.error is not None:
                raise owned.worker.error

    def progress(self) -> Mapping[int, int]:
        """The taken offset of each slot, for whoever watches whether they move."""
        return {number: offset for number in self.numbers if (offset := self.taken_offset(number)) is not None}
