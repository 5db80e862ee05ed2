"""How far groups of subscribers have come, kept as Kafka keeps it: tools that show lag see them."""

from __future__ import annotations

from typing import Any

from schemas.extras import extra
from schemas.positions import Position, TopicPartition
from streams.logs.kafka.clients import ClientSettings, make_admin
from streams.logs.kafka.faults import mapped_kafka_errors
from streams.logs.kafka.marks import ANSWER_TIMEOUT_S
from streams.logs.kafka.names import KafkaNames

with extra("kafka"):
    from confluent_kafka import ConsumerGroupTopicPartitions
    from confluent_kafka import TopicPartition as KafkaPartition


class KafkaGroupPositions:
    """Committed offsets of the groups ``refold.<corpus>.subscribers.<group>``; nobody else may be a member of them.

    Raises:
        UnreachableError: Kafka cannot be reached.
    """

    def __init__(self, corpus: str, client: ClientSettings) -> None:
        self._names = KafkaNames(corpus)
        self._admin = make_admin(client)

    def get(self, group: str) -> Position | None:
        """How far `group` has come; None for one that has never handled anything."""
        name = self._names.subscribers(group)
        with mapped_kafka_errors("read subscription", name):
            asked = [ConsumerGroupTopicPartitions(name)]
            answers = self._admin.list_consumer_group_offsets(asked, request_timeout=ANSWER_TIMEOUT_S)
            found: Any = answers[name].result().topic_partitions
        offsets = {
            TopicPartition(self._names.short(one.topic), one.partition): one.offset for one in found if one.offset >= 0
        }
        return Position(offsets) if offsets else None

    def put(self, group: str, position: Position) -> None:
        """`group` has handled everything before `position`; durable when this returns."""
        if not position:
            return
        name = self._names.subscribers(group)
        places = [KafkaPartition(self._names.topic(tp.topic), tp.partition, offset) for tp, offset in position.items()]
        with mapped_kafka_errors("store subscription", name):
            asked = [ConsumerGroupTopicPartitions(name, places)]
            answers = self._admin.alter_consumer_group_offsets(asked, request_timeout=ANSWER_TIMEOUT_S)
            answers[name].result()

    def close(self) -> None:
        """Nothing: the client closes as its last user lets go of it."""
