"""Where drafts go: the partition of each, by Kafka's default partitioner (murmur2 over the key's bytes) or its slot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

from schemas.events import TOPICS, PipelineEvent
from schemas.positions import TopicPartition
from streams.log import TOPIC_NAMES, Draft, SlotNumber

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C  # this and the next two: org.apache.kafka.common.utils.Utils.murmur2
_MIX = 0x5BD1E995
_SHIFT = 24
_POSITIVE = 0x7FFFFFFF


def partition_of(key: str, partition_count: int) -> int:
    """The partition of `key` among `partition_count`, as Kafka's Java client chooses it."""
    if partition_count == 1:
        return 0
    return (murmur2(key.encode()) & _POSITIVE) % partition_count


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of `data`, signed as in Java."""
    length = len(data)
    whole = length & ~3
    digest = _SEED ^ length
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MIX & _MASK
        word = (word ^ word >> _SHIFT) * _MIX & _MASK
        digest = digest * _MIX & _MASK ^ word
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    digest = (digest ^ digest >> 13) * _MIX & _MASK
    digest ^= digest >> 15
    return digest - (1 << 32) if digest >> 31 else digest


PARTITIONED_TOPICS = frozenset({"requests", "documents"})
"""The topics that have a partition per slot; every other topic has one partition."""

_TOPIC_OF_KIND: dict[type[PipelineEvent], str] = {kind: topic for topic, kinds in TOPICS.items() for kind in kinds}


@cache
def partitions_of(topic: str, slot_count: int) -> tuple[TopicPartition, ...]:
    """All partitions of `topic` in a log of `slot_count` slots.

    Raises:
        ValueError: there is no such topic.
    """
    if topic not in TOPIC_NAMES:
        raise ValueError(f"{topic!r} is no topic; the topics are {', '.join(TOPIC_NAMES)}")
    count = slot_count if topic in PARTITIONED_TOPICS else 1
    return tuple(TopicPartition(topic, partition) for partition in range(count))


def check_slot(slot: SlotNumber | None, *, slot_count: int) -> None:
    """Raise ValueError if a log of `slot_count` slots has no such slot."""
    if slot is not None and not 0 <= slot < slot_count:
        raise ValueError(f"there is no slot {slot}: this log has {slot_count}")


def check_partitions(partitions: Iterable[TopicPartition], *, slot_count: int) -> None:
    """Raise ValueError if a log of `slot_count` slots lacks any of `partitions`."""
    for tp in partitions:
        if tp not in partitions_of(tp.topic, slot_count):
            raise ValueError(f"this log has no partition {tp.topic}:{tp.partition}")


def check_kinds(drafts: Sequence[Draft]) -> None:
    """Raise ValueError if a draft's topic does not carry such events."""
    for draft in drafts:
        if _TOPIC_OF_KIND.get(type(draft.event)) != draft.topic:
            raise ValueError(f"topic {draft.topic!r} does not carry {type(draft.event).__name__}")


def place(slot: SlotNumber | None, drafts: Sequence[Draft], *, slot_count: int) -> list[TopicPartition]:
    """The partition of each of `drafts`, in their order.

    Raises:
        ValueError: a topic does not carry such a kind, there is no such slot, or, with a slot given, a draft of topic
            `documents` belongs to another.
    """
    check_slot(slot, slot_count=slot_count)
    check_kinds(drafts)
    places = [_place(draft, slot_count) for draft in drafts]
    for draft, tp in zip(drafts, places, strict=True):
        if slot is not None and tp.topic == "documents" and tp.partition != slot:
            raise ValueError(f"key {draft.key!r} belongs to slot {tp.partition}, not to slot {slot}")
    return places


def not_before(event: PipelineEvent, earliest: datetime | None) -> PipelineEvent:
    """`event`, with `occurred_at` moved up to `earliest` if it was before."""
    if earliest is None or event.meta.occurred_at >= earliest:
        return event
    return replace(event, meta=replace(event.meta, occurred_at=earliest))


def _place(draft: Draft, slot_count: int) -> TopicPartition:
    partition = partition_of(draft.key, slot_count) if draft.topic in PARTITIONED_TOPICS else 0
    return TopicPartition(draft.topic, partition)
