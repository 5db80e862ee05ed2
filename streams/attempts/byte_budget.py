"""A bound on the bytes of documents that are processed at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Lets documents in, in order of arrival, while there is room; one that is larger than the budget goes alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    @asynccontextmanager
    async def holding(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold `size_bytes` while the context lasts, from when they fit."""
        size_bytes = min(size_bytes, self._limit_bytes)
        async with self._turn:
            while self._held_bytes + size_bytes > self._limit_bytes:
                self._room.clear()
                await self._room.wait()
            self._held_bytes += size_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes
            self._room.set()
