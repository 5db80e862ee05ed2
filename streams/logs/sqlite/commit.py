"""Group commit: appends that come at the same time share one transaction and one sync."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from sqlite3 import Connection
from threading import Lock

from schemas.codec import Codec
from schemas.errors import RefoldError
from schemas.events import PipelineEvent
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Draft, UnknownOutcome
from streams.logs.sqlite.end import EndFile
from streams.logs.sqlite.layout import checksum_of, damaged_row
from streams.logs.sqlite.marks import Marks, Watermarks
from streams.placement import not_before
from streams.sqlite_file import SqliteFile

INSERTED_ROWS = (64, 16, 4, 1)
"""How many rows a statement inserts. Each one lets go of the GIL, which other threads then keep for milliseconds."""

_ROW = "(?, ?, ?, ?)"
_COLUMNS = 4
_INSERT = {
    (topic, size): f"INSERT INTO {topic} VALUES {', '.join([_ROW] * size)}"  # noqa: S608 - topics are constants
    for topic in TOPIC_NAMES
    for size in INSERTED_ROWS
}
_TAILS = "SELECT topic, end_offset, last_occurred_at FROM topics"
_MOVE_TAIL = "UPDATE topics SET end_offset = ?, last_occurred_at = ? WHERE topic = ?"


@dataclass(slots=True)
class _Tail:
    """Where a topic goes on."""

    end_offset: int
    last_occurred_at: datetime | None


@dataclass(slots=True)
class _Run:
    """The records of one append in one topic, ready to be stored."""

    events: list[PipelineEvent]
    keys: list[str]
    frames: list[bytes]
    checksums: list[int]

    def rows(self, begin_offset: int) -> Iterator[tuple[int, str, int, bytes]]:
        """The rows of the topic's table, from `begin_offset` on."""
        offsets = range(begin_offset, begin_offset + len(self.frames))
        return zip(offsets, self.keys, self.checksums, self.frames, strict=True)


@dataclass(slots=True, eq=False)
class _Append:
    """What one caller wants appended, and what became of it: a position or an error."""

    runs: dict[str, _Run]
    position: Position | None = None
    error: RefoldError | None = None

    def is_answered(self) -> bool:
        return self.position is not None or self.error is not None

    def answer(self) -> Position:
        if self.position is None:
            raise self.error or UnknownOutcome(op="append")
        return self.position


class GroupCommit:
    """Appends to `file`: whoever holds the writing connection commits what all the others have queued meanwhile.

    Every caller encodes for itself, so that an event that cannot be written fails only its own append; should a shared
    transaction fail, each of its appends is tried alone. `end_file` and `watermarks` are told what became of them, in
    this order, so that whoever sees events there finds the end kept:

    1. COMMIT: they are durable,
    2. their end is kept,
    3. readers are told, and the append is answered.
    """

    def __init__(self, file: SqliteFile, codec: Codec, end_file: EndFile, watermarks: Watermarks) -> None:
        self._file = file
        self._encode = codec.encode
        self._end_file = end_file
        self._watermarks = watermarks
        self._queue: deque[_Append] = deque()
        self._turn = Lock()

    def append(self, drafts: Sequence[Draft]) -> Position:
        """Append all of `drafts` or none, synced, and return the position after them."""
        asked = _Append(self._runs(drafts))
        self._queue.append(asked)
        with self._turn:
            if not asked.is_answered():
                self._commit_queue()
        return asked.answer()

    def close(self) -> None:
        """Let the append that is under way come to its end, and keep no more; idempotent."""
        with self._turn:
            self._end_file.close()

    def _runs(self, drafts: Sequence[Draft]) -> dict[str, _Run]:
        topics: dict[str, list[Draft]] = {}
        for draft in drafts:
            topics.setdefault(draft.topic, []).append(draft)
        return {topic: self._run(drafts_of_topic) for topic, drafts_of_topic in topics.items()}

    def _run(self, drafts: Sequence[Draft]) -> _Run:
        events = [draft.event for draft in drafts]
        frames = list(map(self._encode, events))
        keys = [draft.key for draft in drafts]
        checksums = [checksum_of(key.encode(), frame) for key, frame in zip(keys, frames, strict=True)]
        return _Run(events, keys, frames, checksums)

    def _commit_queue(self) -> None:
        group = [self._queue.popleft() for _ in range(len(self._queue))]
        try:
            self._commit(group)
        except RefoldError as exc:
            if len(group) == 1:
                group[0].error = exc
                return
            for asked in group:
                self._commit_alone(asked)
        except BaseException:
            # Ctrl-C may come on either side of the COMMIT, and the others of the group wait for an answer.
            self._watermarks.forget()
            for asked in group:
                asked.error = UnknownOutcome(op="append", subject=str(self._file.path))
            raise

    def _commit_alone(self, asked: _Append) -> None:
        try:
            self._commit([asked])
        except RefoldError as exc:
            asked.error = exc

    def _commit(self, group: Sequence[_Append]) -> None:
        with self._file.transaction("append") as connection:
            tails = self._tails(connection)
            positions = [self._insert(connection, asked.runs, tails) for asked in group]
            moved = {topic: tails[topic] for asked in group for topic in asked.runs}
            connection.executemany(_MOVE_TAIL, [_row(topic, tail) for topic, tail in moved.items()])
        self._end_file.keep({topic: tail.end_offset for topic, tail in tails.items()})
        self._watermarks.moved({topic: Marks(0, tail.end_offset) for topic, tail in moved.items()})
        for asked, position in zip(group, positions, strict=True):
            asked.position = position

    def _tails(self, connection: Connection) -> dict[str, _Tail]:
        try:
            tails = {
                topic: _Tail(end_offset, datetime.fromisoformat(last) if last else None)
                for topic, end_offset, last in connection.execute(_TAILS)
            }
        except (ValueError, TypeError) as exc:
            raise damaged_row(self._file, "topics") from exc
        if tails.keys() != set(TOPIC_NAMES):
            raise damaged_row(self._file, "topics")
        return tails

    def _insert(self, connection: Connection, runs: dict[str, _Run], tails: dict[str, _Tail]) -> Position:
        ends: dict[TopicPartition, int] = {}
        for topic, run in runs.items():
            tail = tails[topic]
            self._move_up(run, tail.last_occurred_at)
            _insert_rows(connection, topic, run.rows(tail.end_offset), count=len(run.frames))
            tail.end_offset += len(run.frames)
            tail.last_occurred_at = run.events[-1].meta.occurred_at
            ends[TopicPartition(topic, 0)] = tail.end_offset
        return Position(ends)

    def _move_up(self, run: _Run, earliest: datetime | None) -> None:
        """Clamp the times of `run`, which were encoded before its place in the log was known."""
        latest = earliest or run.events[0].meta.occurred_at
        for index, event in enumerate(run.events):
            occurred_at = event.meta.occurred_at
            if occurred_at >= latest:
                latest = occurred_at
                continue
            run.events[index] = not_before(event, latest)
            run.frames[index] = self._encode(run.events[index])
            run.checksums[index] = checksum_of(run.keys[index].encode(), run.frames[index])


def _insert_rows(
    connection: Connection, topic: str, rows: Iterator[tuple[int, str, int, bytes]], *, count: int
) -> None:
    values = list(chain.from_iterable(rows))
    start = 0
    for size in INSERTED_ROWS:
        while count - start >= size:
            connection.execute(_INSERT[topic, size], values[start * _COLUMNS : (start + size) * _COLUMNS])
            start += size


def _row(topic: str, tail: _Tail) -> tuple[int, str | None, str]:
    return tail.end_offset, tail.last_occurred_at.isoformat() if tail.last_occurred_at else None, topic
