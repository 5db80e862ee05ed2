"""Requests that were delivered and wait to be acknowledged: in offset order, once their slot has durably taken them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

WAITING_LIMIT: Final = 10_000
"""Deliveries of one slot that may wait: more are not accepted, so that Kafka keeps them instead of this process."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    offset: int
    acknowledge: Callable[[], Awaitable[object]]


class Deliveries:
    """Belongs to one event loop.

    An acknowledgement only moves what tools see as lag: what a slot has taken is in the log and in the manifest. A
    delivery for a slot that is not owned (any more) is dropped: the slot's owner reads it again. `taken_offset` gives,
    by slot number, the offset before which the slot has durably taken everything; None if it is not owned.
    """

    def __init__(self, taken_offset: Callable[[int], int | None]) -> None:
        self._taken_offset = taken_offset
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
            taken = self._taken_offset(number)
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
