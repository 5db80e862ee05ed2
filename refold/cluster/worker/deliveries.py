"""Requests that were delivered and wait to be acknowledged: in offset order, once their slot has durably taken them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

WAITING_LIMIT: Final = 10_000
"""Deliveries of one slot that may wait: more are not accepted, so that Kafka keeps them instead of this process."""


class TakenOffsets(Protocol):
    """What deliveries have to know of slots."""

    def taken_offset(self, number: int) -> int | None:
        """The offset before which slot `number` has durably taken everything; None if it is not owned."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    offset: int
    acknowledge: Callable[[], Awaitable[object]]


class Deliveries:
    """Belongs to one event loop.

    An acknowledgement only moves what tools see as lag: what a slot has taken is in the log and in the manifest. A
    delivery for a slot that is not owned (any more) is dropped: whoever owns the slot reads it again.
    """

    def __init__(self, slots: TakenOffsets) -> None:
        self._slots = slots
        self._waiting: dict[int, deque[_Delivery]] = {}
        self._moved = asyncio.Event()

    def add(self, number: int, offset: int, acknowledge: Callable[[], Awaitable[object]]) -> None:
        """A record of `requests`, of slot `number`, was delivered."""
        self._waiting.setdefault(number, deque()).append(_Delivery(offset, acknowledge))

    async def room(self, number: int) -> None:
        """Return once slot `number` keeps up."""
        while len(self._waiting.get(number, ())) >= WAITING_LIMIT:
            self._moved.clear()
            await self._moved.wait()

    async def acknowledge_taken(self) -> int:
        """Acknowledge what is due; how many deliveries that were."""
        count = 0
        for number, waiting in list(self._waiting.items()):
            taken = self._slots.taken_offset(number)
            if taken is None:
                del self._waiting[number]
                continue
            while waiting and waiting[0].offset < taken:
                await waiting.popleft().acknowledge()
                count += 1
        self._moved.set()
        return count

    def forget(self, number: int) -> None:
        """Slot `number` is given up."""
        self._waiting.pop(number, None)
        self._moved.set()
