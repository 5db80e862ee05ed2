"""Which offsets of every topic a SQLite log keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import starmap
from threading import Lock
from typing import NamedTuple

from streams.log import TOPIC_NAMES
from streams.logs.sqlite.layout import damaged_row
from streams.logs.waits import Waits
from streams.sqlite_file import SqliteFile

POLL_S = 0.05
"""How often a waiter looks for what another process appended."""

_SELECT = "SELECT topic, begin_offset, end_offset FROM topics"


class Marks(NamedTuple):
    """The kept offsets of a topic: from `begin_offset` to before `end_offset`."""

    begin_offset: int
    end_offset: int


def read_marks(file: SqliteFile) -> dict[str, Marks]:
    """The kept offsets of every topic, as they stand in `file`.

    Raises:
        LogDamaged: they cannot be true.
    """
    with file.reader("read") as connection:
        marks = {topic: Marks(begin, end) for topic, begin, end in connection.execute(_SELECT)}
    if marks.keys() != set(TOPIC_NAMES) or not all(starmap(can_be, marks.values())):
        raise damaged_row(file, "topics")
    return marks


class Watermarks:
    """The marks of `file`, and waiting for them to move.

    Where the file is open to write, nobody else writes it: they are remembered, which makes asking cost nothing, and
    whoever moves them says so. Else they are read each time. Thread-safe.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._lock = Lock()
        self._known: dict[str, Marks] | None = None
        self.waits = Waits()

    def now(self) -> Mapping[str, Marks]:
        """The marks of every topic."""
        if not self._file.is_writable:
            return read_marks(self._file)
        with self._lock:
            self._file.check_open()
            if self._known is None:
                # Read while the lock is held: who moves the marks meanwhile says so afterwards.
                self._known = read_marks(self._file)
            return self._known

    def moved(self, marks: Mapping[str, Marks]) -> None:
        """Those of some topics are `marks` now, at least, and durably."""
        with self._lock:
            if self._known is not None:
                self._known = {**self._known, **{topic: _later(self._known[topic], marks[topic]) for topic in marks}}
        self.waits.look()

    def forget(self) -> None:
        """Read them again: whether they moved is not known."""
        with self._lock:
            self._known = None
        self.waits.look()

    def wait_until(self, is_so: Callable[[Mapping[str, Marks]], bool], timeout_s: float) -> bool:
        """Whether `is_so` of the marks, waiting up to `timeout_s` for it; see `Waits.until`."""
        poll_s = None if self._file.is_writable else POLL_S
        return self.waits.until(lambda: is_so(self.now()), timeout_s, poll_s=poll_s)


def can_be(begin_offset: object, end_offset: object) -> bool:
    """Whether a topic can keep these."""
    return isinstance(begin_offset, int) and isinstance(end_offset, int) and 0 <= begin_offset <= end_offset


def _later(known: Marks, moved: Marks) -> Marks:
    return Marks(max(known.begin_offset, moved.begin_offset), max(known.end_offset, moved.end_offset))
