"""An event loop that hangs is noticed from outside."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from refold.cluster.watchdog import PATIENCE_S
from refold.cluster.worker.loop_pulse import LoopPulse

WAIT_S = 30.0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WAIT_S)
    loop.close()


def test_a_loop_that_hangs_is_told_until_it_goes_on(loop: asyncio.AbstractEventLoop) -> None:
    now_s = [0.0]
    pulse = LoopPulse(loop, does="runs stages", monotonic=lambda: now_s[0])
    assert pulse.not_ready() == []
    go_on, hangs = threading.Event(), threading.Event()
    loop.call_soon_threadsafe(lambda: (hangs.set(), go_on.wait(WAIT_S)))
    assert hangs.wait(WAIT_S)
    pulse.begin()
    now_s[0] = PATIENCE_S + 5
    assert pulse.not_ready() == ["the event loop that runs stages has stood still for 65 s"]

    go_on.set()
    deadline_s = time.monotonic() + WAIT_S
    while pulse.not_ready():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


def test_it_is_felt_again_and_again(loop: asyncio.AbstractEventLoop) -> None:
    beats: list[float] = []
    has_gone_on = threading.Event()

    def monotonic() -> float:
        beats.append(0.0)
        if len(beats) >= 3:  # the first is the pulse's own beginning
            has_gone_on.set()
        return 0.0

    LoopPulse(loop, does="runs stages", monotonic=monotonic).begin()
    assert has_gone_on.wait(WAIT_S)
