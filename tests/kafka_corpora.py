"""Corpora in a real Kafka: made for one test, deleted after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from servers import address_of

from schemas.registries.memory import MemoryRegistry
from streams.log import TOPIC_NAMES
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_names import KafkaNames

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

SLOTS = 2


class KafkaCorpora:
    """Opens logs of corpora that are made when they are first named."""

    def __init__(self) -> None:
        admin = pytest.importorskip("confluent_kafka.admin", reason="needs pip install 'refold[kafka]'")
        self.client: Mapping[str, str] = {"bootstrap.servers": address_of("kafka")}
        self.admin: AdminClient = admin.AdminClient(self.client)
        self._new_topic = admin.NewTopic
        self._names: dict[str, KafkaNames] = {}
        self._opened: list[KafkaLog] = []

    def names(self, name: str) -> KafkaNames:
        """What the corpus is called in Kafka that the test calls `name`."""
        if name not in self._names:
            self._names[name] = KafkaNames(f"test-{uuid4().hex[:12]}-{name}")
            self.create(name, TOPIC_NAMES)
        return self._names[name]

    def open(self, name: str = "log", **settings: Any) -> KafkaLog:
        """A log of that corpus, as a process of its own would hold it."""
        corpus = self.names(name).corpus
        self._opened.append(KafkaLog(corpus, self.client, MemoryRegistry(), **settings))
        return self._opened[-1]

    def create(self, name: str, topics: tuple[str, ...], *, slots: int = SLOTS) -> None:
        """Make `topics` of that corpus."""
        counts = {topic: slots if topic in {"requests", "documents"} else 1 for topic in topics}
        new = [self._new_topic(self._names[name].topic(topic), n, 1) for topic, n in counts.items()]
        self._await(self.admin.create_topics(new))

    def delete(self, name: str, topics: tuple[str, ...]) -> None:
        """Delete `topics` of that corpus."""
        self._await(self.admin.delete_topics([self._names[name].topic(topic) for topic in topics]))

    def close(self) -> None:
        """Close every log and delete every topic."""
        for log in self._opened:
            log.close()
        for name in self._names:
            self.delete(name, TOPIC_NAMES)

    @staticmethod
    def _await(answers: Mapping[str, Any]) -> None:
        for answer in answers.values():
            answer.result()


@contextmanager
def kafka_corpora() -> Iterator[KafkaCorpora]:
    """Corpora that are deleted when it is left."""
    corpora = KafkaCorpora()
    try:
        yield corpora
    finally:
        corpora.close()
