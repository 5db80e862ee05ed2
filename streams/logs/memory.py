"""The log in memory: the reference that every other log is compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from schemas.errors import UsageError
from schemas.ids import random_id
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Batch, Draft, Fenced, Recorded, SlotNumber, expired
from streams.logs.waits import Waits
from streams.placement import check_partitions, check_slot, not_before, partitions_of, place

MAX_BATCH_RECORDS = 1_000


@dataclass(slots=True)
class _Partition:
    """The records of one partition from `begin_offset` on."""

    records: list[Recorded] = field(default_factory=list)
    begin_offset: int = 0
    last_occurred_at: datetime | None = None

    @property
    def end_offset(self) -> int:
        return self.begin_offset + len(self.records)


class MemoryLog:
    """A log that lives as long as its process, with `partitions` slots.

    It is as awkward as Kafka may be: batches are of any size up to the limit, and records of different partitions and
    topics come in any order among each other (seeded by `shuffle_seed`), so that nothing learns to rely on it.

    A slot belongs to the log object that last said `own(slot)`; a slot nobody owns is taken by the first append for it.
    `peer()` is the same log as another process would hold it, so that a test can make a zombie.
    """

    def __init__(self, partitions: int = 1, *, shuffle_seed: int = 0, new_id: Callable[[], str] = random_id) -> None:
        self.log_id = new_id()
        self._slot_count = partitions
        self._random = random.Random(shuffle_seed)  # noqa: S311 - disorder for tests, no secret
        self._partitions = {tp: _Partition() for topic in TOPIC_NAMES for tp in partitions_of(topic, partitions)}
        self._owners: dict[SlotNumber, MemoryLog] = {}
        self._lock = Lock()
        self._waits = Waits()
        self._is_closed = False

    def peer(self) -> MemoryLog:
        """The same log as another process holds it: same records, its own ownership of slots, its own end."""
        return copy(self)

    def own(self, slot: SlotNumber) -> None:
        """Take `slot`: its previous owner is fenced."""
        check_slot(slot, slot_count=self._slot_count)
        with self._open():
            self._owners[slot] = self

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """All partitions of `topic`."""
        return partitions_of(topic, self._slot_count)

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        """Append all of `drafts` or none; see the port."""
        places = place(slot, drafts, slot_count=self._slot_count)
        with self._open():
            if slot is not None and self._owners.setdefault(slot, self) is not self:
                raise Fenced(op="append", subject=f"slot {slot}")
            for tp, draft in zip(places, drafts, strict=True):
                self._add(tp, draft)
            self._waits.look()
            return Position({tp: self._partitions[tp].end_offset for tp in places})

    def read(
        self, partitions: Collection[TopicPartition], after: Position, until: Position | None = None
    ) -> Iterator[Batch]:
        """The records of `partitions` from `after` to `until`, shuffled between partitions; see the port."""
        with self._open(partitions):
            runs = {tp: self._run(tp, after, until) for tp in partitions}
            turns = [tp for tp, run in runs.items() for _ in run]
            self._random.shuffle(turns)
            batch_random = random.Random(self._random.random())  # noqa: S311 - as above
        return _batches(runs, turns, after, batch_random)

    def begin(self, partitions: Collection[TopicPartition]) -> Position:
        """The low watermark of `partitions`: the first offset that was not trimmed."""
        with self._open(partitions):
            return Position({tp: self._partitions[tp].begin_offset for tp in partitions})

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        """The high watermark of `partitions`."""
        with self._open(partitions):
            return Position({tp: self._partitions[tp].end_offset for tp in partitions})

    def trim(self, before: Position) -> None:
        """Forget the records of topic `requests` below `before`; other topics are refused with ValueError."""
        if any(tp.topic != "requests" for tp in before):
            raise ValueError(f"only topic requests can be trimmed, not {before}")
        with self._open(before):
            for tp, offset in before.items():
                partition = self._partitions[tp]
                dropped = min(offset, partition.end_offset) - partition.begin_offset
                if dropped > 0:
                    del partition.records[:dropped]
                    partition.begin_offset += dropped

    def wait_beyond(self, partitions: Collection[TopicPartition], position: Position, timeout_s: float) -> bool:
        """Whether any of `partitions` has grown beyond `position`, waiting up to `timeout_s` for it."""

        def has_grown() -> bool:
            return any(self._partitions[tp].end_offset > position.offset(tp) for tp in partitions)

        with self._open(partitions):
            pass
        self._waits.until(lambda: has_grown() or self._is_closed, timeout_s)
        return has_grown()

    def wake(self) -> None:
        """End every wait that is going on."""
        self._waits.wake()

    def close(self) -> None:
        """Refuse whatever comes next and end every wait; idempotent."""
        self._is_closed = True
        self._waits.look()

    def _open(self, partitions: Collection[TopicPartition] = ()) -> Lock:
        """What guards the records of `partitions`, once these and the log have been found to be there."""
        if self._is_closed:
            raise UsageError("the log is closed", hint="open it again")
        check_partitions(partitions, slot_count=self._slot_count)
        return self._lock

    def _add(self, tp: TopicPartition, draft: Draft) -> None:
        partition = self._partitions[tp]
        event = not_before(draft.event, partition.last_occurred_at)
        partition.records.append(Recorded(tp.topic, tp.partition, partition.end_offset, draft.key, event))
        partition.last_occurred_at = event.meta.occurred_at

    def _run(self, tp: TopicPartition, after: Position, until: Position | None) -> list[Recorded]:
        partition = self._partitions[tp]
        start = after.offset(tp)
        stop = partition.end_offset if until is None else min(until.offset(tp), partition.end_offset)
        if start >= stop:
            return []
        if start < partition.begin_offset:
            raise expired(tp, start, begin_offset=partition.begin_offset)
        return partition.records[start - partition.begin_offset : stop - partition.begin_offset]


def _batches(
    runs: dict[TopicPartition, list[Recorded]], turns: list[TopicPartition], after: Position, rng: random.Random
) -> Iterator[Batch]:
    upcoming = {tp: iter(run) for tp, run in runs.items()}
    position = after
    taken = 0
    while taken < len(turns):
        size = rng.randint(1, MAX_BATCH_RECORDS)
        recorded = [next(upcoming[tp]) for tp in turns[taken : taken + size]]
        taken += size
        # Reading starts at `after` and offsets only grow, so the latest record of a partition says where it goes on.
        position = position.joined(Position({TopicPartition(r.topic, r.partition): r.offset + 1 for r in recorded}))
        yield Batch(recorded, position)
