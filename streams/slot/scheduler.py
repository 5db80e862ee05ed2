"""Which priority is chosen from next: smooth weighted round robin, so that none starves."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from schemas.events import Priority

WEIGHTS: Mapping[Priority, int] = {Priority.CRITICAL: 16, Priority.NORMAL: 4, Priority.BATCH: 1}
"""Of 21 choices with all three waiting, 16 are critical, 4 normal and 1 batch."""


class WeightedScheduler:
    """Chooses among the priorities that have something waiting, in proportion to their weights.

    The algorithm is nginx's smooth weighted round robin: each waiting priority gains its weight, the largest is
    chosen and pays the sum. Within any 21 choices with all waiting, each gets its exact share.
    """

    def __init__(self, weights: Mapping[Priority, int] = WEIGHTS) -> None:
        self._weights = dict(weights)
        self._credits = dict.fromkeys(weights, 0)

    def choose(self, waiting: Collection[Priority]) -> Priority:
        """The priority to take from next, of those `waiting`: at least one."""
        for priority in waiting:
            self._credits[priority] += self._weights[priority]
        chosen = max(waiting, key=lambda p: (self._credits[p], self._weights[p]))
        self._credits[chosen] -= sum(self._weights[p] for p in waiting)
        return chosen
