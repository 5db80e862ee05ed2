"""How much is in work in this process, and whether something must be in work alone."""

from __future__ import annotations

import threading


class Workload:
    """Counts documents in work over all slots of the process; thread-safe.

    A suspect (`streams/decide.py`) is admitted only when nothing else is in work, and nothing else while it is. A
    suspect that had to be turned away closes the door for the others, so that its turn comes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._count = 0
        self._is_alone = False
        self._suspect_waits = False

    @property
    def count(self) -> int:
        """Documents in work now."""
        return self._count

    def has_room(self) -> bool:
        """Whether `admit` may say yes to somebody."""
        with self._lock:
            return not self._is_alone and (self._count == 0 or (not self._suspect_waits and self._count < self._limit))

    def admit(self, *, alone: bool) -> bool:
        """Count one more document in, if it may begin now."""
        with self._lock:
            if self._is_alone or self._count >= self._limit:
                return False
            if alone:
                self._suspect_waits = self._count > 0
                self._is_alone = self._count == 0
            if self._suspect_waits:
                return False
            self._count += 1
            return True

    def leave(self) -> None:
        """One document less."""
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self._is_alone = False
                self._suspect_waits = False
