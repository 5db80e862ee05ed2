"""Where a reader stands in the log: a map of (topic, partition) to the next offset to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from schemas.errors import UsageError


class TopicPartition(NamedTuple):
    """One partition of one topic; the topic's name is short, without the corpus prefix."""

    topic: str
    partition: int


class Position(Mapping[TopicPartition, int]):
    """An immutable map of partition to next offset; a partition that is absent stands at 0.

    Its compact string form is ``documents:0=12,requests:0=15`` (sorted; the empty position is the empty string).
    """

    __slots__ = ("_offsets",)

    def __init__(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        items: dict[TopicPartition, int] = dict(offsets or {})
        self._offsets: dict[TopicPartition, int] = {tp: items[tp] for tp in sorted(items) if items[tp] > 0}

    def __getitem__(self, key: TopicPartition) -> int:
        return self._offsets[key]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def __hash__(self) -> int:
        return hash(tuple(self._offsets.items()))

    def __repr__(self) -> str:
        return f"Position({str(self)!r})"

    def __str__(self) -> str:
        return ",".join(f"{tp.topic}:{tp.partition}={offset}" for tp, offset in self._offsets.items())

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that `text` spells.

        Raises:
            UsageError: `text` is not of the form ``topic:partition=offset,…``.
        """
        offsets: dict[TopicPartition, int] = {}
        for part in filter(None, text.split(",")):
            where, equals, offset = part.partition("=")
            topic, colon, partition = where.rpartition(":")
            if not (equals and colon and topic and partition.isdecimal() and offset.isdecimal()):
                raise UsageError(
                    f"{part!r} is not a position",
                    op="parse position",
                    subject=text,
                    hint="write topic:partition=offset, separated by commas, such as documents:0=12",
                )
            offsets[TopicPartition(topic, int(partition))] = int(offset)
        return cls(offsets)

    def offset(self, tp: TopicPartition) -> int:
        """The next offset to read of `tp`; 0 where nothing was read."""
        return self._offsets.get(tp, 0)

    def reaches(self, other: Position) -> bool:
        """Whether everything before `other` is before this position too."""
        return all(self.offset(tp) >= offset for tp, offset in other.items())

    def joined(self, other: Position) -> Position:
        """The smallest position that reaches both."""
        merged = dict(self._offsets)
        for tp, offset in other.items():
            merged[tp] = max(offset, merged.get(tp, 0))
        return Position(merged)

    def only(self, topics: Iterable[str]) -> Position:
        """The part of this position that concerns `topics`."""
        wanted = set(topics)
        return Position({tp: offset for tp, offset in self._offsets.items() if tp.topic in wanted})
