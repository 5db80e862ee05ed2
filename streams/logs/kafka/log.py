"""The log in Kafka: a topic per topic, under a prefix of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from threading import Lock

from schemas.codec import Codec
from schemas.extras import extra
from schemas.positions import Position, TopicPartition
from schemas.registry import SchemaRegistry
from streams.log import Batch, Draft, SlotNumber, expired
from streams.logs.kafka.appends import KafkaAppends
from streams.logs.kafka.clients import ClientSettings, make_admin, make_consumer, make_producer
from streams.logs.kafka.identity import CHECK_EVERY_S, KafkaIdentity
from streams.logs.kafka.marks import KafkaMarks
from streams.logs.kafka.names import KafkaNames
from streams.logs.kafka.read import STALL_TIMEOUT_S, KafkaReads
from streams.logs.kafka.records import Framing, Times
from streams.logs.kafka.slot import KafkaSlot
from streams.logs.kafka.tail import KafkaTail
from streams.logs.waits import Waits
from streams.placement import check_partitions, check_slot, partitions_of, place

with extra("kafka"):
    from confluent_kafka import Producer

POLL_S = 0.1
"""How often a waiter looks for what another process appended."""


class KafkaLog:
    """The log of `corpus` in the Kafka that `client` leads to, with a slot per partition of `documents`.

    A slot's appends are transactions (`slot.py`); taking a slot fences its old owner, in whatever process that
    is. A slot that was never taken is taken by the first append for it. Appends without a slot are idempotent, in order
    within a partition, and not atomic between partitions (`appends.py`). Offsets have holes: commit
    markers and aborted records take some.

    Args:
        corpus: The topics are ``refold.<corpus>.<topic>``; `refold topics apply` makes them.
        client: librdkafka's settings, for every client alike.
        registry: Where the ids of schemas are.
        stall_timeout_s: How long a read may stand still before it raises ReadStalled.
        check_every_s: How often it is asked whether the topics are still the ones that were opened.
        traceparent: Gives the W3C trace context to send along, if there is one.
        new_slot_producer: Makes the producer of a transactional id; for tests with a faulty one.

    Raises:
        UnreachableError: Kafka cannot be reached.
        UsageError: the topics are not there, are not partitioned alike, or the client refuses its settings.
    """

    def __init__(
        self,
        corpus: str,
        client: ClientSettings,
        registry: SchemaRegistry,
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        check_every_s: float = CHECK_EVERY_S,
        traceparent: Callable[[], str | None] = lambda: None,
        new_slot_producer: Callable[[str], Producer] | None = None,
    ) -> None:
        names = self._names = KafkaNames(corpus)
        admin = make_admin(client)
        self._identity = KafkaIdentity(admin, names, check_every_s=check_every_s)
        self.log_id, self._slot_count = self._identity.log_id, self._identity.slot_count
        codec = Codec(registry)
        self._marks = KafkaMarks(admin, names)
        self._waits = Waits()
        tail = KafkaTail(
            names, codec, self._marks, lambda: make_consumer(client, group=names.group, is_committed_only=False)
        )
        self._times = Times(tail.last_event)
        self._framing = Framing(codec, self._times, traceparent=traceparent)
        self._reads = KafkaReads(
            names,
            codec,
            self._marks,
            lambda: make_consumer(client, group=names.group, is_committed_only=True),
            stall_timeout_s=stall_timeout_s,
        )
        self._appends = KafkaAppends(names, lambda: make_producer(client))
        self._new_slot_producer = new_slot_producer or (
            lambda transactional_id: make_producer(client, transactional_id=transactional_id)
        )
        self._slots: dict[SlotNumber, KafkaSlot] = {}
        self._slots_lock = Lock()

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """All partitions of `topic`."""
        return partitions_of(topic, self._slot_count)

    def own(self, slot: SlotNumber) -> None:
        """Take `slot`: its previous owner is fenced, and the transaction that it left is finished or aborted.

        Raises:
            TransientError: Kafka did not answer; the slot is not owned.
        """
        check_slot(slot, slot_count=self._slot_count)
        with self._slots_lock:
            self._take(slot)
        self._identity.check_now()

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        """Append `drafts`, all or none if a slot is given; see the port, and the class for appends without a slot."""
        places = place(slot, drafts, slot_count=self._slot_count)
        self._marks.check_open()
        if not drafts:
            return Position()
        if slot is None:
            position = self._appends.append(lambda: self._framing.framed(drafts, places))
        else:
            position = self._owned(slot).append(self._framing.framed(drafts, places))
        self._waits.look()
        return position

    def read(
        self, partitions: Collection[TopicPartition], after: Position, until: Position | None = None
    ) -> Iterator[Batch]:
        """The records of `partitions` from `after` to `until`, committed ones only; see the port.

        Raises:
            ReadStalled: somebody's transaction is open below the end and stays so.
        """
        end = self.end(partitions)
        stops = end if until is None else Position({tp: min(until.offset(tp), end.offset(tp)) for tp in partitions})
        spans = {tp: range(after.offset(tp), stops.offset(tp)) for tp in partitions}
        begin = self._marks.begin([tp for tp, span in spans.items() if span])
        for tp, span in spans.items():
            if span and span.start < begin.offset(tp):
                raise expired(tp, span.start, begin_offset=begin.offset(tp))
        return self._reads.read(spans, after)

    def begin(self, partitions: Collection[TopicPartition]) -> Position:
        """The low watermark of `partitions`: the first offset that was not trimmed."""
        self._check(partitions)
        return self._marks.begin(partitions)

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        """The high watermark of `partitions`, never the last stable offset.

        Raises:
            LogReplaced: a topic was created again since this log was opened; noticed within seconds.
        """
        self._check(partitions)
        self._identity.check()
        return self._marks.end(partitions)

    def trim(self, before: Position) -> None:
        """Forget the records of topic `requests` below `before`; other topics are refused with ValueError."""
        if any(tp.topic != "requests" for tp in before):
            raise ValueError(f"only topic requests can be trimmed, not {before}")
        self._identity.check_now()  # what would be deleted of a new topic was never taken
        begin, end = self.begin(before.keys()), self._marks.end(before.keys())
        below = {tp: min(offset, end.offset(tp)) for tp, offset in before.items()}
        self._marks.trim(Position({tp: offset for tp, offset in below.items() if offset > begin.offset(tp)}))

    def wait_beyond(self, partitions: Collection[TopicPartition], position: Position, timeout_s: float) -> bool:
        """Whether any of `partitions` has grown beyond `position`, waiting up to `timeout_s` for it.

        An append of this process is seen at once, one of another process within a tenth of a second.
        """
        self._check(partitions)
        return self._waits.until(lambda: not position.reaches(self._marks.end(partitions)), timeout_s, poll_s=POLL_S)

    def wake(self) -> None:
        """End every wait that is going on in this process."""
        self._waits.wake()

    def close(self) -> None:
        """Close every client and end every wait; idempotent."""
        self._marks.close()
        self._waits.wake()
        self._appends.close()
        with self._slots_lock:
            slots, self._slots = self._slots, {}
        for slot in slots.values():
            slot.close()
        self._reads.close()

    def _owned(self, slot: SlotNumber) -> KafkaSlot:
        with self._slots_lock:
            return self._slots.get(slot) or self._take(slot)

    def _take(self, slot: SlotNumber) -> KafkaSlot:
        """Own `slot`; if that fails, what is left of the last ownership refuses appends."""
        self._marks.check_open()
        before = self._slots.get(slot)
        if before is not None:
            before.close()
        taken = self._slots[slot] = KafkaSlot(slot, self._names, self._new_slot_producer)
        self._times.forget(TopicPartition("documents", slot))
        return taken

    def _check(self, partitions: Collection[TopicPartition]) -> None:
        self._marks.check_open()
        check_partitions(partitions, slot_count=self._slot_count)
