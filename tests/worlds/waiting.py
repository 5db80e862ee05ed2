"""Waiting for a condition, how long work takes, and seconds that a test moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

ResultT = TypeVar("ResultT")


def wait_until(
    condition: Callable[[], bool],
    report: Callable[[], object] = lambda: "",
    *,
    timeout_s: float,
    pause_s: float = 0.05,
) -> None:
    """Return once `condition` holds; fail with what `report` says if it does not in time."""
    deadline_s, pause = time.monotonic() + timeout_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, report()
        pause.wait(pause_s)


def timed(work: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """The seconds that `work` took, and what it returned."""
    began_s = time.perf_counter()
    result = work()
    return time.perf_counter() - began_s, result


@dataclass
class Clock:
    """Seconds that a test moves."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s
