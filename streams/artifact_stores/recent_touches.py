"""What a process has touched of late in a storage that many share, so that it is not said again at every commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from threading import Lock

TOUCH_HOLDS = timedelta(hours=1)
"""What was put or touched within this time is not touched again by the same process; `touched_since` reaches back so
much further."""

MAX_RECENT = 20_000
"""Touches that are remembered: some three megabytes. What is forgotten is said once more."""


class RecentTouches:
    """The SHA-256s that were durably put or touched within `TOUCH_HOLDS`, the latest `MAX_RECENT` of them. Thread-safe.

    Args:
        monotonic: Seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at_s: dict[str, float] = {}
        self._lock = Lock()

    def lacking(self, sha256s: Collection[str]) -> set[str]:
        """Those of `sha256s` that have to be touched."""
        since_s = self._monotonic() - TOUCH_HOLDS.total_seconds()
        with self._lock:
            return {one for one in sha256s if self._at_s.get(one, since_s) <= since_s}

    def note(self, sha256s: Collection[str]) -> None:
        """They are durably touched now."""
        now_s = self._monotonic()
        with self._lock:
            for one in sha256s:
                self._at_s.pop(one, None)  # what comes last was touched last
                self._at_s[one] = now_s
            while len(self._at_s) > MAX_RECENT:
                del self._at_s[next(iter(self._at_s))]

    def forget(self, sha256s: Collection[str]) -> None:
        """They are there no more."""
        with self._lock:
            for one in sha256s:
                self._at_s.pop(one, None)
