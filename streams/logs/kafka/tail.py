"""The last event of a partition, for the times of those that follow."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from schemas.codec import Codec, UnknownSchemaId, UnreadableEvent
from schemas.errors import TransientError
from schemas.events import PipelineEvent
from schemas.extras import extra
from schemas.positions import TopicPartition
from streams.logs.kafka.faults import mapped_kafka_errors
from streams.logs.kafka.marks import KafkaMarks
from streams.logs.kafka.names import KafkaNames

with extra("kafka"):
    from confluent_kafka import Consumer
    from confluent_kafka import TopicPartition as KafkaPartition

STEPS_BACK = (2, 64, 4_096)
"""How far before the end to look: a record and its commit marker, else past the markers of empty or broken runs."""

TAIL_TIMEOUT_S = 15.0


class KafkaTail:
    """Finds the last event of a partition, committed or not: an event that was aborted only moves times up."""

    def __init__(
        self, names: KafkaNames, codec: Codec, marks: KafkaMarks, make_consumer: Callable[[], Consumer]
    ) -> None:
        self._names = names
        self._codec = codec
        self._marks = marks
        self._make_consumer = make_consumer

    def last_event(self, tp: TopicPartition) -> PipelineEvent | None:
        """The last event among the latest few thousand offsets of `tp`, or None.

        Raises:
            TransientError: Kafka does not answer.
        """
        begin, end = (marks([tp]).offset(tp) for marks in (self._marks.begin, self._marks.end))
        if begin >= end:
            return None
        consumer = self._make_consumer()
        try:
            with mapped_kafka_errors("read", f"{tp.topic}:{tp.partition}"):
                for step in STEPS_BACK:
                    event = self._last_of(consumer, tp, range(max(begin, end - step), end))
                    if event is not None or end - step <= begin:
                        return event
        finally:
            consumer.close()
        return None

    def _last_of(self, consumer: Consumer, tp: TopicPartition, offsets: range) -> PipelineEvent | None:
        place = KafkaPartition(self._names.topic(tp.topic), tp.partition, offsets.start)
        consumer.assign([place])
        frames: list[bytes] = []
        deadline_s = monotonic() + TAIL_TIMEOUT_S
        while True:
            message = consumer.poll(0.05)
            error = message.error() if message is not None else None
            if message is not None and error is None:
                frames.append(message.value() or b"")
            elif error is not None and error.name() == "_AUTO_OFFSET_RESET":
                return None  # trimmed this moment
            at_end = error is not None and error.name() == "_PARTITION_EOF"
            if at_end or consumer.position([place])[0].offset >= offsets.stop:
                return next((event for event in map(self._decoded, reversed(frames)) if event is not None), None)
            if monotonic() > deadline_s:
                raise TransientError("Kafka does not deliver the last event", op="read", subject=str(place))

    def _decoded(self, frame: bytes) -> PipelineEvent | None:
        try:
            return self._codec.decode(frame)
        except (UnreadableEvent, UnknownSchemaId):
            return None  # a request that is no event; its sender's clock is nobody's
