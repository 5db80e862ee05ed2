"""The port of the append-only log; its technologies stand in `streams/logs/`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NewType, Protocol

from schemas.errors import FatalError, MachineError, TransientError
from schemas.events import PipelineEvent
from schemas.positions import Position, TopicPartition

SlotNumber = NewType("SlotNumber", int)
"""A partition number of `requests` and `documents`, owned by one process at a time."""

TOPIC_NAMES = ("requests", "documents", "jobs", "adapters", "operations")


class Fenced(FatalError):  # noqa: N818 - a state, as in the error tree
    """Another owner has taken this slot; what was to be appended was not."""


class UnknownOutcome(TransientError):  # noqa: N818 - as above
    """Whether the append happened cannot be known; drop the slot's memory and fold the log again, never resend."""


class PositionExpired(FatalError):  # noqa: N818 - as above
    """The log no longer holds what comes after the asked position."""


class LogReplaced(FatalError):  # noqa: N818 - as above
    """A part of the log was deleted and created again while it was open: the old positions mean nothing in it."""


class LogDamaged(FatalError):  # noqa: N818 - as above
    """A stored record does not read back."""


class ImportUnfinished(MachineError):  # noqa: N818 - as above
    """The log holds part of an import that has not come to its end."""


def expired(tp: TopicPartition, offset: int, *, begin_offset: int) -> PositionExpired:
    """The error to raise where the records from `offset` to before `begin_offset` are gone."""
    return PositionExpired(
        f"the records {offset} to {begin_offset - 1} of {tp.topic}:{tp.partition} are no longer kept",
        op="read",
        subject=f"{tp.topic}:{tp.partition}",
        position=str(Position({tp: begin_offset})),
    )


def damaged(tp: TopicPartition, offset: int, why: str) -> LogDamaged:
    """The error to raise where the record at `offset` does not read back."""
    return LogDamaged(
        f"record {offset} of {tp.topic}:{tp.partition} does not read back: {why}",
        op="read",
        subject=f"{tp.topic}:{tp.partition}",
        position=str(Position({tp: offset})),
        hint="restore a backup; the records before it still read",
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a position."""

    topic: str
    key: str
    event: PipelineEvent


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the log.

    `sha256` is of the record's bytes, in topic `requests` only, and "" in a log that keeps no bytes.
    """

    topic: str
    partition: int
    offset: int
    key: str
    event: PipelineEvent
    sha256: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record of `requests` that is no event and never was; a damaged one, or one elsewhere, is LogDamaged."""

    topic: str
    partition: int
    offset: int
    key: bytes
    sha256: str
    error: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records and where reading goes on; `recorded` may be empty while `next_position` moves.

    Within one partition records are in offset order; nothing may rely on order between partitions or topics.
    """

    recorded: Sequence[Recorded]
    next_position: Position
    undecodable: Sequence[Undecodable] = ()


class EventLog(Protocol):
    """An append-only log of typed events, in topics of one or more partitions.

    Synchronous and thread-safe: appends come from a committer thread per slot, from planners and from the API; reads
    come from any number of threads. Keys choose partitions by murmur2, as Kafka's default partitioner does.
    """

    log_id: str
    """Differs for every log ever created, so that a position of another log is not mistaken for one of this."""

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """All partitions of `topic`."""

    def own(self, slot: SlotNumber) -> None:
        """Take `slot` for this log object; its previous owner is fenced. Doing it again is harmless."""

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        """Append all of `drafts` or none, durably and in order, and return the position after them.

        `occurred_at` is clamped to be non-decreasing within a partition. With a slot given, all drafts of topic
        `documents` must belong to its partition. Without one, a log on several machines may have appended a part before
        it raises UnknownOutcome; as ids are deterministic, the same drafts may then be appended again.

        Raises:
            Fenced: another owner has taken the slot.
            UnknownOutcome: the answer to the commit was lost.
            DiskFull: nothing was appended.
        """

    def read(
        self, partitions: Collection[TopicPartition], after: Position, until: Position | None = None
    ) -> Iterator[Batch]:
        """The records of `partitions` from `after` (the next offset, inclusive) to `until` (exclusive), in batches.

        Ends at `until`, or where the end was when reading began if that is None. Committed records only. Batches hold
        at most 1,000 records. If anything lies between `after` and the end, the last batch's `next_position` has passed
        it, even where no record did.

        Raises:
            PositionExpired: the log was trimmed beyond `after`; its `position` is where the log begins now.
            LogDamaged: a record does not read back.
        """

    def begin(self, partitions: Collection[TopicPartition]) -> Position:
        """The low watermark of `partitions`: where the oldest kept record stands; what was before it is trimmed."""

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        """The high watermark of `partitions`: the offset the next record will take."""

    def trim(self, before: Position) -> None:
        """Forget the records of topic `requests` below `before`; other topics are refused with ValueError."""

    def wait_beyond(self, partitions: Collection[TopicPartition], position: Position, timeout_s: float) -> bool:
        """Whether any of `partitions` has grown beyond `position`, waiting up to `timeout_s` for it."""

    def wake(self) -> None:
        """End every wait in this process as if its time were up, so that the waiting threads can stop."""

    def close(self) -> None:
        """Let go of files, threads and connections; idempotent."""
