"""What was put or touched of late, as every process that shares a storage writes it down in ``touches/``.

One small object, ``<microseconds>-<digest>``, names all that one sync touched; its own time, which is the storage's,
says when. A process does not repeat at every commit what it has touched within the last hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from threading import Lock

from streams.artifact_stores.object_storage import ObjectStorage

TOUCHES = "touches"

TOUCHES_KEPT = timedelta(days=1)
"""How long it is known what was touched, and the longest that a garbage collection may look back: far longer than
from a touch to the event that refers to it."""

FORGOTTEN_AT_ONCE = 10_000
"""Touches that are forgotten in one go: ten requests."""

_MICROSECOND = timedelta(microseconds=1)

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


def write_touches(storage: ObjectStorage, sha256s: Collection[str], *, now: datetime) -> None:
    """Write down that `sha256s` were touched; `now` is for people who look at the names."""
    if sha256s:
        named = "\n".join(sorted(sha256s)).encode()
        micros = (now - datetime.fromtimestamp(0, now.tzinfo)) // _MICROSECOND
        # The digest keeps apart what is written in one microsecond: the same name only for the same touches.
        storage.write(f"{TOUCHES}/{micros:020d}-{sha256(named).hexdigest()}", [named])


def touches_since(storage: ObjectStorage, moment: datetime) -> Iterator[str]:
    """The names of what was written down at `moment` of the storage or later, for `ObjectStorage.words`."""
    return (f"{TOUCHES}/{name}" for name, _, modified_at in storage.listed(TOUCHES) if modified_at >= moment)


def forget_old_touches(storage: ObjectStorage) -> bool:
    """Delete what was written `TOUCHES_KEPT` before the latest; whether more of it is left.

    Some ten thousand at a time. For one process; several at once do no harm.
    """
    latest = max((modified_at for _, _, modified_at in storage.listed(TOUCHES)), default=None)
    if latest is None:
        return False
    names = (name for name, _, modified_at in storage.listed(TOUCHES) if modified_at < latest - TOUCHES_KEPT)
    old = list(islice(names, FORGOTTEN_AT_ONCE))
    storage.remove(f"{TOUCHES}/{name}" for name in old)
    return len(old) == FORGOTTEN_AT_ONCE
