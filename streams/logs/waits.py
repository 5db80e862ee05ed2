"""Waiting for a log to grow, by the threads of one process."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from time import monotonic


class Waits:
    """Lets threads wait until something holds of a log, and tells them when to look again. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._changes = 0
        self._wakes = 0

    def look(self) -> None:
        """Have every waiter look again: the log may have grown, or it was closed."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wake(self) -> None:
        """End every wait that is going on."""
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

    def until(self, is_so: Callable[[], bool], timeout_s: float, *, poll_s: float | None = None) -> bool:
        """Whether `is_so`, waiting up to `timeout_s` for it; False as soon as `wake` is called.

        It is asked without a lock, again at each `look`, and every `poll_s` where another process may change the log.
        """
        deadline_s = monotonic() + timeout_s
        with self._changed:
            wakes, changes = self._wakes, self._changes
        while not is_so():
            left_s = deadline_s - monotonic()
            if left_s <= 0:
                return False
            with self._changed:
                # Changes are counted, so that one which came while `is_so` was asked is not slept through.
                if (self._wakes, self._changes) == (wakes, changes):
                    self._changed.wait(left_s if poll_s is None else min(left_s, poll_s))
                if self._wakes != wakes:
                    return False
                changes = self._changes
        return True
