"""How many documents this process works on, and whether one of them must run alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

IN_FLIGHT = 24
"""Documents processed at the same time: enough to keep a small machine busy while others are read and stored."""

IN_FLIGHT_BYTES = 96 * 1024 * 1024
"""Content of those documents; the pool's pipes and processes hold a few times as much."""


class Workload:
    """Counts running documents over all slots of the process; each slot comes in by an `Entrance` of its own.

    Of the slots that wait for room, the one with the fewest running documents comes first, so that a busy slot does not
    starve the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._inside: dict[Entrance, int] = {}  # those with anything running
        self._is_alone = False
        self._suspects: deque[Entrance] = deque()  # whose suspects wait, in the order they came
        self._waiting: dict[Entrance, None] = {}  # who was turned away and wants to come in, the longest first

    @property
    def count(self) -> int:
        """Documents running now."""
        return sum(self._inside.values())

    def entrance(self, wake: Callable[[], None] = lambda: None) -> Entrance:
        """A way in for one slot; `wake` is called when it was turned away and may be let in now."""
        return Entrance(self, wake)

    def may_enter(self, entrance: Entrance) -> bool:
        """Whether `admit` may say yes to `entrance`, which waits for it otherwise."""
        with self._lock:
            is_open = self._is_open_to(entrance)
            if not is_open:
                self._waiting.setdefault(entrance)
            return is_open

    def admit(self, entrance: Entrance, *, alone: bool) -> bool:
        """Count one more document in, if it may begin now; a suspect that may not closes the door to all others."""
        with self._lock:
            if alone and entrance not in self._suspects:
                self._suspects.append(entrance)
            if not self._is_open_to(entrance) or (alone and self._inside) or (not alone and self._suspects):
                self._waiting.setdefault(entrance)
                return False
            if alone:
                self._suspects.popleft()
                self._is_alone = True
            self._waiting.pop(entrance, None)
            self._inside[entrance] = self._inside.get(entrance, 0) + 1
            return True

    def leave(self, entrance: Entrance) -> None:
        """One document of `entrance` less."""
        with self._lock:
            self._inside[entrance] -= 1
            if not self._inside[entrance]:
                del self._inside[entrance]
        self._wake_another(entrance)

    def rest(self, entrance: Entrance) -> None:
        """`entrance` wants nobody in now, and its suspect waits no more."""
        with self._lock:
            was_waiting = entrance in self._waiting or entrance in self._suspects
            self._waiting.pop(entrance, None)
            if entrance in self._suspects:
                self._suspects.remove(entrance)
        if was_waiting:
            self._wake_another(entrance)

    def close(self, entrance: Entrance) -> None:
        """What `entrance` has running no longer counts."""
        self.rest(entrance)
        with self._lock:
            self._inside.pop(entrance, None)
        self._wake_another(entrance)

    def has_inside(self, entrance: Entrance) -> bool:
        """Whether `entrance` has anything running."""
        return entrance in self._inside

    def _wake_another(self, entrance: Entrance) -> None:
        """Have the one look that may come in next: the first suspect, or the first of those who wait."""
        with self._lock:
            self._is_alone = self._is_alone and bool(self._inside)
            waiting = [self._suspects[0]] if self._suspects else self._waiting
            other = min((one for one in waiting if one is not entrance), key=self._has_inside, default=None)
        if other is not None:
            other.wake()

    def _is_open_to(self, entrance: Entrance) -> bool:
        room = self._limit - self.count
        if self._is_alone or self._suspects:
            return not self._is_alone and self._suspects[0] is entrance and not self._inside
        return room > self._ahead_of(entrance)

    def _ahead_of(self, entrance: Entrance) -> int:
        """How many waiting entrances come first: they have fewer running, or as many and have waited longer."""
        ahead, mine, waits_longer = 0, self._has_inside(entrance), True
        for other in self._waiting:
            waits_longer = waits_longer and other is not entrance
            theirs = self._has_inside(other)
            ahead += other is not entrance and (theirs < mine or (theirs == mine and waits_longer))
        return ahead

    def _has_inside(self, entrance: Entrance) -> int:
        return self._inside.get(entrance, 0)


class Entrance:
    """One slot's way into the process's workload; thread-safe.

    A suspect (`streams/slot/decide.py`) is admitted only when nothing else is running, and nothing else while it runs.
    One that had to be turned away closes the door to everything but itself, in all slots, so that its turn comes; it
    must be asked for again, or given up by `rest`.
    """

    def __init__(self, workload: Workload, wake: Callable[[], None]) -> None:
        self._workload = workload
        self.wake = wake

    def has_room(self) -> bool:
        """Whether `admit` may say yes; if not, this entrance waits, and is woken."""
        return self._workload.may_enter(self)

    def admit(self, *, alone: bool) -> bool:
        """Count one more document in, if it may begin now."""
        return self._workload.admit(self, alone=alone)

    def leave(self) -> None:
        """One document less."""
        if self._workload.has_inside(self):  # nothing is, once it was closed
            self._workload.leave(self)

    def rest(self) -> None:
        """Nothing is to come in now, and no suspect waits here any more."""
        self._workload.rest(self)

    def close(self) -> None:
        """Nothing comes in here any more, and what is inside counts no more."""
        self._workload.close(self)
