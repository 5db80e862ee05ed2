"""The events of topics as they come, for consumers that go on for ever and may be stopped at any moment."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass
from typing import Final

from refold.engine.engine import GroupPositions
from schemas.errors import UsageError
from schemas.events import TOPICS, PipelineEvent
from schemas.positions import Position, TopicPartition
from streams.log import Batch, EventLog

WAIT_S: Final = 0.5
"""How long a wait for news may last at a time: bounds how late a subscription notices that the pipeline was closed."""

STORE_EVERY_S: Final = 1.0
"""A group's position is stored at most this often: a consumer that is killed sees so much again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, and the position after it: a subscription that begins there goes on with the next one."""

    event: PipelineEvent
    position: Position


class Subscription:
    """Gives the events of `topics` from a position on; waits at the end of the log, until `stop` is set.

    Events of one topic partition come in order; nothing is said about the order between topics. An event counts as
    handled once the next one is asked for. With a group that is stored, so a consumer that comes back under the same
    name goes on there and sees what it was handling once more: at least once, never less.

    `group` is where its position is kept, and its name; `check`, called between waits, raises what has stopped the
    pipeline. See `Pipeline.subscribe` for the rest.
    """

    def __init__(
        self,
        log: EventLog,
        topics: Collection[str] = (),
        *,
        after: Position | None,
        group: tuple[GroupPositions, str] | None = None,
        stop: threading.Event,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._partitions = [tp for topic in _known(topics) for tp in log.partitions(topic)]
        self._after = after
        self._group = group
        self._stop = stop
        self._check = check
        self._is_left = threading.Event()
        self._stored_at_s = time.monotonic()

    async def deliveries(self) -> AsyncGenerator[Delivery, None]:
        """The events; close it, so that the group's position is stored where it was left."""
        handled = await asyncio.to_thread(self._begin)
        try:
            while (batch := await asyncio.to_thread(self._next_batch, handled)) is not None:
                position = handled
                for recorded in batch.recorded:
                    place = TopicPartition(recorded.topic, recorded.partition)
                    position = position.joined(Position({place: recorded.offset + 1}))
                    yield Delivery(recorded.event, position)
                    handled = position
                    await self._store(handled)
                handled = handled.joined(batch.next_position)
        finally:
            self._is_left.set()
            self._log.wake()
            await self._store(handled, now=True)

    def _begin(self) -> Position:
        """Where it begins: as asked for, else where the group is, else where the log does."""
        if self._after is not None:
            return self._after
        known = None if self._group is None else self._group[0].get(self._group[1])
        return known if known is not None else self._log.begin(self._partitions)

    def _next_batch(self, position: Position) -> Batch | None:
        """What lies beyond `position`, once there is something; None at the end of all."""
        while not (self._stop.is_set() or self._is_left.is_set()):
            batch = next(iter(self._log.read(self._partitions, position)), None)
            if batch is not None:
                return batch
            self._check()
            self._log.wait_beyond(self._partitions, position, WAIT_S)
        return None

    async def _store(self, handled: Position, *, now: bool = False) -> None:
        if self._group is None or not (now or time.monotonic() - self._stored_at_s >= STORE_EVERY_S):
            return
        positions, name = self._group
        self._stored_at_s = time.monotonic()
        await asyncio.to_thread(positions.put, name, handled)


def _known(topics: Collection[str]) -> Collection[str]:
    unknown = set(topics) - set(TOPICS)
    if unknown:
        raise UsageError(f"there is no topic {min(unknown)!r}", op="subscribe", hint=f"topics: {', '.join(TOPICS)}")
    return topics or list(TOPICS)
