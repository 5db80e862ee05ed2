"""When a process is killed: seeded moments of an ingest, told by what it has written so far."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import RefoldError
from schemas.events import DocumentCompleted
from schemas.positions import Position, TopicPartition
from streams.logs.sqlite.log import SqliteLog

LOOK_S = 0.01
"""How often what is not in the log is looked at."""

START_UP_S = 3.0
"""Importing, opening, catching up and folding take about that long; kills are spread over it."""

BATCH_S = 0.3
"""Kills are spread over this long after a projection or planner has begun to write."""

KINDS = ("start-up", "planning", "intake", "indexes", *["progress"] * 6)

_TOPICS = [TopicPartition(topic, 0) for topic in ("requests", "documents", "jobs")]
_DOCUMENTS = TopicPartition("documents", 0)


class Watch:
    """What one life of a process does to its data folder, seen from outside."""

    def __init__(self, data: Path, process: subprocess.Popen[str], *, completed: int) -> None:
        self._data = data
        self._process = process
        self._log: SqliteLog | None = None
        self._begin: Position | None = None
        self._read_to = Position()
        self._indexes = self._index_files()
        self.completed_before = completed
        self.completed = 0

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()

    def until(self, is_reached: Callable[[Watch], bool], *, delay_s: float) -> bool:
        """Whether `delay_s` after the moment that `is_reached` names, the process still lives."""
        while self._process.poll() is None:
            self._look()
            if is_reached(self):
                is_alive = not self.ends_within(delay_s)
                self._look()  # what was completed meanwhile is this life's
                return is_alive
            if self._log is None:
                self.ends_within(LOOK_S)
            else:
                self._log.wait_beyond(_TOPICS, self._log.end(_TOPICS), LOOK_S)
        return False

    def ends_within(self, timeout_s: float) -> bool:
        """Whether the process comes to its end meanwhile."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def grown(self, topic: str) -> int:
        """By how many records `topic` has grown in this life."""
        if self._log is None or self._begin is None:
            return 0
        tp = TopicPartition(topic, 0)
        return self._log.end([tp]).offset(tp) - self._begin.offset(tp)

    def has_written_indexes(self) -> bool:
        """Whether a file of an index has changed in this life."""
        return self._index_files() != self._indexes

    def _look(self) -> None:
        if self._log is None:
            try:
                self._log = SqliteLog(self._data / "log.sqlite", read_only=True)
            except RefoldError:
                return  # it is not there yet
            self._begin = self._log.end(_TOPICS)
        for batch in self._log.read([_DOCUMENTS], self._read_to):
            self.completed += sum(isinstance(recorded.event, DocumentCompleted) for recorded in batch.recorded)
            self._read_to = batch.next_position

    def _index_files(self) -> set[tuple[str, int]]:
        found = set()
        for folder, _, names in os.walk(self._data / "indexes"):  # passes over what is merged away meanwhile
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    found.add((str(path), path.stat().st_mtime_ns))
        return found


@dataclass(frozen=True)
class Kill:
    """A moment of a life, and how long after it the end comes."""

    name: str
    is_reached: Callable[[Watch], bool]
    delay_s: float = 0.0


def at_start_up(rng: random.Random) -> Kill:
    """Anywhere between the process's first instruction and its first work."""
    return Kill("start-up", lambda _: True, rng.uniform(0, START_UP_S))


def timed_kills(count: int, rng: random.Random, lives_s: tuple[float, float]) -> Iterator[Kill]:
    """`count` kills by the clock: each life lasts between the two `lives_s`, wherever it has come to."""
    for _ in range(count):
        yield Kill("life", lambda _: True, rng.uniform(*lives_s))


def seeded_kills(documents: int, count: int, rng: random.Random) -> Iterator[Kill]:
    """`count` kills spread evenly over the completion of `documents`; four of ten at moments of other kinds."""
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    rng.shuffle(kinds)
    for number, kind in enumerate(kinds):
        match kind:
            case "start-up":
                yield at_start_up(rng)
            case "planning":
                yield Kill(kind, lambda watch: watch.grown("jobs") > 0, rng.uniform(0, BATCH_S))
            case "intake":
                yield Kill(kind, _grown_by(rng.randint(1, 50)))
            case "indexes":
                yield Kill(kind, Watch.has_written_indexes, rng.choice((0.0, rng.uniform(0, BATCH_S))))
            case _:
                yield Kill(kind, _completed(int(documents * (number + rng.random()) / count)))


def _grown_by(events: int) -> Callable[[Watch], bool]:
    return lambda watch: watch.grown("documents") >= events


def _completed(target: int) -> Callable[[Watch], bool]:
    return lambda watch: watch.completed >= max(target, watch.completed_before + 1)
