"""The log in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from schemas.codec import Codec
from schemas.ids import random_id
from schemas.positions import Position, TopicPartition
from schemas.registries.embedded import EmbeddedRegistry
from streams.log import Batch, Draft, SlotNumber, expired
from streams.logs.sqlite.commit import GroupCommit
from streams.logs.sqlite.end import EndFile, refuse_lost_events
from streams.logs.sqlite.layout import mark_import, open_log_file, read_log_id
from streams.logs.sqlite.marks import Marks, Watermarks
from streams.logs.sqlite.pages import read_page
from streams.placement import check_kinds, check_partitions, check_slot, partitions_of

TRIM_RECORDS = 10_000
"""What one transaction of a trim deletes, so that appends do not wait long for it."""

_SLOT_COUNT = 1

_TRIM = 'DELETE FROM requests WHERE "offset" < ?'
_MOVE_BEGIN = "UPDATE topics SET begin_offset = max(begin_offset, ?) WHERE topic = 'requests'"


class SqliteLog:
    """A log in the SQLite file at `path`, with one partition per topic and one slot.

    Appends are synced before they are answered, and those that come at the same time share a sync. Any number of
    processes may read, with `read_only`, while one writes. Which process writes, and so owns the slot, is settled
    outside, by the lock on the data folder; `own` is there for the port and fences nobody.

    A log that has lost events which were acknowledged, as the file of its end beside it tells, is refused; one that is
    opened with `accepts_loss` goes on without them, and is opened as any other once something is appended.

    Raises:
        MachineError: there is no log at `path` to read, it is something else, or the folder does not allow it.
        DataFolderVersion: a newer release wrote it.
        LogDamaged: it does not read back, or has lost its last events.
        ImportUnfinished: an import into it was cut short, or is still running.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        accepts_loss: bool = False,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        if not accepts_loss:
            refuse_lost_events(path)
        self._file = open_log_file(path, read_only=read_only, new_id=new_id)
        try:
            self.log_id = read_log_id(self._file)
            self._codec = Codec(EmbeddedRegistry(path, read_only=read_only))
            self._watermarks = Watermarks(self._file)
            end_file = EndFile(path, self.log_id)
            if not (read_only or accepts_loss):
                end_file.keep({topic: marks.end_offset for topic, marks in self._watermarks.now().items()})
        except BaseException:
            self._file.close()
            raise
        self._commits = GroupCommit(self._file, self._codec, end_file, self._watermarks)

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """The one partition of `topic`."""
        return partitions_of(topic, _SLOT_COUNT)

    def own(self, slot: SlotNumber) -> None:
        """Check that `slot` is the one there is; who writes here owns it already."""
        check_slot(slot, slot_count=_SLOT_COUNT)
        self._file.check_writable()

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        """Append all of `drafts` or none, synced; see the port."""
        check_slot(slot, slot_count=_SLOT_COUNT)
        check_kinds(drafts)
        self._file.check_writable()
        return self._commits.append(drafts) if drafts else Position()

    def read(
        self, partitions: Collection[TopicPartition], after: Position, until: Position | None = None
    ) -> Iterator[Batch]:
        """The records of `partitions` from `after` to `until`, one partition after the other; see the port.

        No transaction is held between batches. What stands before a damaged place is yielded before LogDamaged is
        raised.
        """
        spans = {tp: _span(tp, marks, after=after, until=until) for tp, marks in self._marks(partitions).items()}
        return self._batches(spans, after)

    def begin(self, partitions: Collection[TopicPartition]) -> Position:
        """The low watermark of `partitions`: the first offset that was not trimmed."""
        return Position({tp: marks.begin_offset for tp, marks in self._marks(partitions).items()})

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        """The high watermark of `partitions`."""
        return Position({tp: marks.end_offset for tp, marks in self._marks(partitions).items()})

    def trim(self, before: Position) -> None:
        """Forget the records of topic `requests` below `before`; other topics are refused with ValueError."""
        if any(tp.topic != "requests" for tp in before):
            raise ValueError(f"only topic requests can be trimmed, not {before}")
        for tp, marks in self._marks(before).items():
            below, target = marks.begin_offset, min(before.offset(tp), marks.end_offset)
            while below < target:
                below = min(below + TRIM_RECORDS, target)
                self._trim(below)

    def wait_beyond(self, partitions: Collection[TopicPartition], position: Position, timeout_s: float) -> bool:
        """Whether any of `partitions` has grown beyond `position`, waiting up to `timeout_s` for it.

        An append of this process is seen at once, one of another process within POLL_S.
        """
        check_partitions(partitions, slot_count=_SLOT_COUNT)
        return self._watermarks.wait_until(
            lambda marks: any(marks[tp.topic].end_offset > position.offset(tp) for tp in partitions), timeout_s
        )

    def wake(self) -> None:
        """End every wait that is going on in this process."""
        self._watermarks.waits.wake()

    @contextmanager
    def importing(self, source_log_id: str) -> Iterator[None]:
        """Within it the log takes in all of another; should this not end well, it can never be opened again."""
        mark_import(self._file, source_log_id)
        yield
        mark_import(self._file, None)

    def close(self) -> None:
        """Close the file and end every wait; idempotent."""
        self._file.close()
        self._commits.close()
        self._watermarks.waits.wake()

    def _marks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Marks]:
        check_partitions(partitions, slot_count=_SLOT_COUNT)
        marks = self._watermarks.now()
        return {tp: marks[tp.topic] for tp in partitions}

    def _trim(self, below: int) -> None:
        try:
            with self._file.transaction("trim") as connection:
                connection.execute(_TRIM, (below,))
                connection.execute(_MOVE_BEGIN, (below,))
        except BaseException:
            self._watermarks.forget()
            raise
        self._watermarks.moved({"requests": Marks(below, 0)})

    def _batches(self, spans: dict[TopicPartition, range], after: Position) -> Iterator[Batch]:
        position = after
        for tp, offsets in spans.items():
            left = offsets
            while left:
                page = read_page(self._file, self._codec, tp=tp, offsets=left)
                left = range(page.end_offset, offsets.stop)
                position = position.joined(Position({tp: page.end_offset}))
                if page.recorded or page.undecodable:
                    yield Batch(page.recorded, position, page.undecodable)
                if page.failure is not None:
                    raise page.failure


def _span(tp: TopicPartition, marks: Marks, *, after: Position, until: Position | None) -> range:
    """The offsets to read of a topic that keeps `marks`."""
    stop = marks.end_offset if until is None else min(until.offset(tp), marks.end_offset)
    span = range(after.offset(tp), stop)
    if span and span.start < marks.begin_offset:
        raise expired(tp, span.start, begin_offset=marks.begin_offset)
    return span
