"""A slot whose thread hangs is told, though nothing has failed and it has taken all there is."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from refold.cluster.slot_set import SlotSet
from refold.cluster.watchdog import PATIENCE_S
from refold.engine.slots import OwnedSlot
from schemas.positions import Position
from streams.logs.memory import MemoryLog
from streams.slot.thread import SlotThread

WAIT_S = 30.0


class HangingSlot:
    """A slot whose next commit does not come back until it is let go."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.seen, self.in_flight = Position(), 1
        self.hangs, self.let_go = threading.Event(), threading.Event()

    def own(self) -> None:
        """It is this one's."""

    def take_turn(self) -> bool:
        self.hangs.set()
        self.let_go.wait(WAIT_S)
        return False

    def next_due(self) -> None:
        """Nothing waits."""

    def drain(self) -> None:
        self.in_flight = 0

    def release(self, _: object) -> bool:
        """Nothing is in work."""
        return True

    def close(self) -> None:
        """Nothing counts in the process."""


def slots_of(slot: HangingSlot, loop: asyncio.AbstractEventLoop, now_s: list[float]) -> SlotSet:
    log, attempts = MemoryLog(), SimpleNamespace()

    def make(_number: int) -> OwnedSlot:
        thread = SlotThread(log=log, attempts=attempts, loop=loop, monotonic=lambda: now_s[0])  # type: ignore[arg-type]
        return OwnedSlot(slot, thread)  # type: ignore[arg-type]

    return SlotSet(make)


def test_a_slot_whose_thread_hangs_is_not_ready() -> None:
    now_s, slot, loop = [0.0], HangingSlot(), asyncio.new_event_loop()
    slots = slots_of(slot, loop, now_s)
    slots.assign([3])
    assert slot.hangs.wait(WAIT_S)
    assert slots.not_ready() == []
    now_s[0] = PATIENCE_S + 10
    assert slots.not_ready() == ["slot 3: it has not gone round for 70 s"]

    slot.hangs.clear()
    slot.let_go.set()
    assert slot.hangs.wait(WAIT_S)  # it has gone round
    assert slots.not_ready() == []
    slots.give_up([3])
    loop.close()


def test_a_slot_ends_although_the_loop_of_its_attempts_is_closed() -> None:
    slot, loop = HangingSlot(), asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    slots = slots_of(slot, loop, [0.0])
    slots.assign([3])
    assert slot.hangs.wait(WAIT_S)
    slot.let_go.set()
    loop.close()
    slots.give_up([3])  # hung for ever
    assert list(slots.numbers) == []
