"""Which log the topics of a corpus are, and that they are still the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from schemas.errors import UsageError
from schemas.extras import extra
from streams.log import TOPIC_NAMES, LogReplaced
from streams.logs.kafka.faults import mapped_kafka_errors
from streams.logs.kafka.marks import ANSWER_TIMEOUT_S
from streams.logs.kafka.names import KafkaNames
from streams.placement import partitions_of

with extra("kafka"):
    from confluent_kafka import TopicCollection
    from confluent_kafka.admin import AdminClient, TopicDescription

CHECK_EVERY_S = 5.0
"""Between two questions: who reads on in a topic that was made again reads nothing wrong, but may wait in vain."""


class KafkaIdentity:
    """The ids that Kafka gave the topics when they were made; thread-safe.

    Args:
        check_every_s: How often `check` asks Kafka.
        clock: Seconds that only grow.

    Raises:
        UsageError: the topics are not there, or are not partitioned alike.
    """

    def __init__(
        self,
        admin: AdminClient,
        names: KafkaNames,
        *,
        check_every_s: float = CHECK_EVERY_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._admin = admin
        self._names = names
        self._check_every_s = check_every_s
        self._clock = clock
        topics = self._described("open")
        self.slot_count = _slot_count(topics, names)
        self._ids = _ids(topics)
        self._checked_at_s = clock()

    @property
    def log_id(self) -> str:
        """Kafka's id of topic `requests`, as its own tools write it; librdkafka's alphabet has / and +."""
        return self._ids["requests"].translate(str.maketrans("+/", "-_"))

    def check(self) -> None:
        """As `check_now`, but Kafka is asked once in `check_every_s` only."""
        if self._clock() - self._checked_at_s >= self._check_every_s:
            self.check_now()

    def check_now(self) -> None:
        """Return if the topics are those that were opened.

        Raises:
            LogReplaced: one was deleted and created again: offsets of the old one mean nothing in it.
        """
        self._checked_at_s = self._clock()
        there = _ids(self._described("check"))
        for topic, topic_id in self._ids.items():
            if there[topic] != topic_id:
                name = self._names.topic(topic)
                raise LogReplaced(
                    f"topic {name} was deleted and made anew while this ran",
                    op="check",
                    subject=name,
                    hint="start this again: what is in the new topic is then read from its beginning",
                )

    def _described(self, op: str) -> Mapping[str, TopicDescription]:
        full_names = {self._names.topic(topic): topic for topic in TOPIC_NAMES}
        with mapped_kafka_errors(op, f"topics of corpus {self._names.corpus}"):
            answers = self._admin.describe_topics(TopicCollection(list(full_names)), request_timeout=ANSWER_TIMEOUT_S)
            return {full_names[name]: answer.result() for name, answer in answers.items()}


def _ids(topics: Mapping[str, TopicDescription]) -> Mapping[str, str]:
    return {topic: str(description.topic_id) for topic, description in topics.items()}


def _slot_count(topics: Mapping[str, TopicDescription], names: KafkaNames) -> int:
    counts = {topic: len(description.partitions) for topic, description in topics.items()}
    slot_count = counts["documents"]
    if any(counts[topic] != len(partitions_of(topic, slot_count)) for topic in TOPIC_NAMES):
        raise UsageError(
            f"the topics of corpus {names.corpus} are not partitioned as a log is: {counts}",
            op="open",
            subject=names.topic("documents"),
            hint="refold topics check",
        )
    return slot_count
