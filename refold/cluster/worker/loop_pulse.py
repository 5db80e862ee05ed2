"""Whether an event loop that lives in a thread of its own still goes round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from refold.cluster.watchdog import PATIENCE_S

BEAT_S: Final = 1.0
"""How often the loop is asked for a sign."""


class LoopPulse:
    """Feels the pulse of `loop`, which `does` something (said to people), from `begin` until the loop stops."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, does: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._loop = loop
        self._does = does
        self._monotonic = monotonic
        self._beat_at_s = monotonic()

    def begin(self) -> None:
        """Ask for the first sign; from any thread."""
        self._loop.call_soon_threadsafe(self._beat)

    def not_ready(self) -> Sequence[str]:
        """What is wrong, for people."""
        silent_s = self._monotonic() - self._beat_at_s
        if silent_s < PATIENCE_S:
            return []
        return [f"the event loop that {self._does} has stood still for {silent_s:.0f} s"]

    def _beat(self) -> None:
        self._beat_at_s = self._monotonic()
        self._loop.call_later(BEAT_S, self._beat)
