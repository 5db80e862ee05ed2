"""Group commit: appends that come at the same time share one transaction and one sync."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from sqlite3 import Connection
from threading import Lock

from schemas.codec import Codec
from schemas.errors import RefoldError
from schemas.events import PipelineEvent
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Draft, UnknownOutcome
from streams.logs.placement import not_before
from streams.logs.sqlite_layout import checksum_of
from streams.sqlite_file import SqliteFile

# Topics are constants: nothing foreign gets into these statements.
_INSERT = {topic: f"INSERT INTO {topic} VALUES (?, ?, ?, ?)" for topic in TOPIC_NAMES}  # noqa: S608 - as said above
_TAILS = "SELECT topic, end_offset, last_occurred_at FROM topics"
_MOVE_TAIL = "UPDATE topics SET end_offset = ?, last_occurred_at = ? WHERE topic = ?"


@dataclass(slots=True)
class _Tail:
    """Where a topic goes on."""

    end_offset: int
    last_occurred_at: datetime | None


@dataclass(slots=True)
class _Run:
    """The records of one append in one topic, ready to be stored; times do not go back within it."""

    events: list[PipelineEvent]
    keys: list[str]
    checksums: list[int]
    frames: list[bytes]


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
    transaction fail, each of its appends is tried alone. `committed` is called after every commit.
    """

    def __init__(self, file: SqliteFile, codec: Codec, *, committed: Callable[[], None]) -> None:
        self._file = file
        self._encode = codec.encode
        self._committed = committed
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

    def _runs(self, drafts: Sequence[Draft]) -> dict[str, _Run]:
        topics: dict[str, list[Draft]] = {}
        for draft in drafts:
            topics.setdefault(draft.topic, []).append(draft)
        return {topic: self._run(drafts_of_topic) for topic, drafts_of_topic in topics.items()}

    def _run(self, drafts: Sequence[Draft]) -> _Run:
        events = list(accumulate((draft.event for draft in drafts), _in_order))
        frames = [self._encode(event) for event in events]
        keys = [draft.key for draft in drafts]
        checksums = [checksum_of(key.encode(), frame) for key, frame in zip(keys, frames, strict=True)]
        return _Run(events, keys, checksums, frames)

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
            tails = {
                topic: _Tail(end_offset, datetime.fromisoformat(last) if last else None)
                for topic, end_offset, last in connection.execute(_TAILS)
            }
            positions = [self._insert(connection, asked.runs, tails) for asked in group]
            moved = {topic: tails[topic] for asked in group for topic in asked.runs}
            connection.executemany(_MOVE_TAIL, [_row(topic, tail) for topic, tail in moved.items()])
        for asked, position in zip(group, positions, strict=True):
            asked.position = position
        self._committed()

    def _insert(self, connection: Connection, runs: dict[str, _Run], tails: dict[str, _Tail]) -> Position:
        ends: dict[TopicPartition, int] = {}
        for topic, run in runs.items():
            tail = tails[topic]
            self._move_up(run, tail.last_occurred_at)
            offsets = range(tail.end_offset, tail.end_offset + len(run.frames))
            connection.executemany(_INSERT[topic], zip(offsets, run.keys, run.checksums, run.frames, strict=True))
            tail.end_offset, tail.last_occurred_at = offsets.stop, run.events[-1].meta.occurred_at
            ends[TopicPartition(topic, 0)] = offsets.stop
        return Position(ends)

    def _move_up(self, run: _Run, earliest: datetime | None) -> None:
        """Clamp the times of `run`, which were encoded before its place in the log was known."""
        for index, event in enumerate(run.events):
            moved = not_before(event, earliest)
            if moved is event:
                return
            run.events[index] = moved
            run.frames[index] = self._encode(moved)
            run.checksums[index] = checksum_of(run.keys[index].encode(), run.frames[index])


def _in_order(previous: PipelineEvent, event: PipelineEvent) -> PipelineEvent:
    return not_before(event, previous.meta.occurred_at)


def _row(topic: str, tail: _Tail) -> tuple[int, str | None, str]:
    return tail.end_offset, tail.last_occurred_at.isoformat() if tail.last_occurred_at else None, topic
