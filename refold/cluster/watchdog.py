"""Tells a reader that stands still from one that has nothing to do: the head is beyond it, and it does not move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.positions import Position, TopicPartition

PATIENCE_S: Final = 60.0
"""Longer than a rebalance, a lease that runs out or a slow batch takes; shorter than people take to ask."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the reader `name` stands: the next offset that it reads, per partition; and where the log ends for it."""

    name: str
    position: Position
    head: Position


@dataclass(slots=True)
class _Standing:
    """Since when a partition stands at `offset` with the head beyond it."""

    offset: int
    head: int
    since_s: float


class Watchdog:
    """Takes samples, and says whose partitions have stood for `patience_s` while the log went on beyond them.

    How long something stands is counted from the first sample that shows it there with events ahead: so a reader that
    was at the head for hours has its whole patience when the next event comes, and one that is far behind but moves is
    never stuck. A partition that stands is stuck although others of the same reader move. Belongs to one thread, or to
    threads that take turns.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, patience_s: float = PATIENCE_S) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._standing: dict[tuple[str, TopicPartition], _Standing] = {}

    def look(self, samples: Iterable[Sample]) -> None:
        """Take in where all readers are now; one that is not among them is forgotten: it reads no more."""
        now_s, before = self._clock(), self._standing
        self._standing = {
            (sample.name, tp): _standing(before.get((sample.name, tp)), sample.position.offset(tp), head, now_s)
            for sample in samples
            for tp, head in sample.head.items()
            if sample.position.offset(tp) < head
        }

    def stuck(self) -> Sequence[str]:
        """One line for each partition of a reader that is stuck, in order of their names."""
        now_s = self._clock()
        return [
            f"{name} has stood at offset {one.offset} of {tp.topic}:{tp.partition} for {now_s - one.since_s:.0f} s, "
            f"and the log goes on to {one.head}"
            for (name, tp), one in sorted(self._standing.items())
            if now_s - one.since_s >= self._patience_s
        ]


def _standing(before: _Standing | None, offset: int, head: int, now_s: float) -> _Standing:
    if before is None or before.offset != offset:
        return _Standing(offset, head, now_s)
    return _Standing(offset, head, before.since_s)
