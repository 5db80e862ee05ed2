"""Which offsets Kafka keeps."""

from __future__ import annotations

from collections.abc import Collection

from schemas.errors import UsageError
from schemas.extras import extra
from schemas.positions import Position, TopicPartition
from streams.logs.kafka.faults import mapped_kafka_errors, settled
from streams.logs.kafka.names import KafkaNames

with extra("kafka"):
    from confluent_kafka import IsolationLevel
    from confluent_kafka import TopicPartition as KafkaPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec

ANSWER_TIMEOUT_S = 15.0
"""How long a question to Kafka may last: a broker's failover takes less."""


class KafkaMarks:
    """The watermarks of partitions, asked of Kafka each time. Thread-safe."""

    def __init__(self, admin: AdminClient, names: KafkaNames) -> None:
        self._admin = admin
        self._names = names
        self._is_closed = False

    def check_open(self) -> None:
        """Raise UsageError once the log is closed."""
        if self._is_closed:
            raise UsageError("the log is closed", hint="open it again")

    def begin(self, partitions: Collection[TopicPartition]) -> Position:
        """The low watermarks: the first kept offsets."""
        return self._ask(partitions, OffsetSpec.earliest(), is_committed_only=False)

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        """The high watermarks, whatever transactions are open below them."""
        return self._ask(partitions, OffsetSpec.latest(), is_committed_only=False)

    def stable_end(self, partitions: Collection[TopicPartition]) -> Position:
        """The last stable offsets: where the first open transaction began. Only to explain why a read stands still."""
        return self._ask(partitions, OffsetSpec.latest(), is_committed_only=True)

    def trim(self, before: Position) -> None:
        """Have Kafka delete the records below `before`, which is not beyond the end."""
        asked = [KafkaPartition(self._names.topic(tp.topic), tp.partition, offset) for tp, offset in before.items()]
        if asked:
            with mapped_kafka_errors("trim", str(before)):
                settled(lambda: self._delete(asked), refresh=self._learn_leaders)

    def close(self) -> None:
        """Refuse what comes next."""
        self._is_closed = True

    def _ask(self, partitions: Collection[TopicPartition], spec: OffsetSpec, *, is_committed_only: bool) -> Position:
        if not partitions:
            return Position()
        asked = {KafkaPartition(self._names.topic(tp.topic), tp.partition): spec for tp in partitions}
        level = IsolationLevel.READ_COMMITTED if is_committed_only else IsolationLevel.READ_UNCOMMITTED
        with mapped_kafka_errors("read", "watermarks"):
            return settled(lambda: self._list(asked, level), refresh=self._learn_leaders)

    def _list(self, asked: dict[KafkaPartition, OffsetSpec], level: IsolationLevel) -> Position:
        answers = self._admin.list_offsets(asked, isolation_level=level, request_timeout=ANSWER_TIMEOUT_S)
        return Position(
            {
                TopicPartition(self._names.short(there.topic), there.partition): answer.result().offset
                for there, answer in answers.items()
            }
        )

    def _learn_leaders(self) -> None:
        self._admin.list_topics(timeout=ANSWER_TIMEOUT_S)

    def _delete(self, below: list[KafkaPartition]) -> None:
        for answer in self._admin.delete_records(below, request_timeout=ANSWER_TIMEOUT_S).values():
            answer.result()
