"""Corpora in a real Kafka: made for one test, deleted after it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from schemas.ids import document_id_of
from schemas.registries.memory import MemoryRegistry
from streams.log import TOPIC_NAMES
from streams.logs.kafka.log import KafkaLog
from streams.logs.kafka.names import KafkaNames
from streams.logs.kafka.topics import KafkaTopics
from streams.logs.topic_plan import load_topics
from streams.placement import partition_of
from tests.servers.run import address_of

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

SLOTS = 2


class KafkaCorpora:
    """Opens logs of corpora that are made when they are first named."""

    def __init__(self) -> None:
        admin = pytest.importorskip("confluent_kafka.admin", reason="needs pip install 'refold[kafka]'")
        self.client: Mapping[str, str] = {"bootstrap.servers": address_of("kafka")}
        self.admin: AdminClient = admin.AdminClient(self.client)
        self._names: dict[str, KafkaNames] = {}
        self._opened: list[KafkaLog] = []

    def names(self, name: str) -> KafkaNames:
        """What the corpus is called in Kafka that the test calls `name`."""
        if name not in self._names:
            self._names[name] = KafkaNames(f"test-{uuid4().hex[:12]}-{name}")
            self.create(name)
        return self._names[name]

    def adopt(self, name: str, names: KafkaNames) -> None:
        """Delete the topics of `names`, which were made elsewhere, with the others."""
        self._names[name] = names

    def open(self, name: str = "log", **settings: Any) -> KafkaLog:
        """A log of that corpus, as a process of its own would hold it."""
        corpus = self.names(name).corpus
        self._opened.append(KafkaLog(corpus, self.client, MemoryRegistry(), **settings))
        return self._opened[-1]

    def create(self, name: str, *, slots: int = SLOTS) -> None:
        """Make the topics of that corpus that are not there."""
        plans = load_topics(partitions=slots, replication_factor=1)
        KafkaTopics(self._names[name].corpus, self.client).apply(plans)

    def delete(self, name: str, topics: tuple[str, ...]) -> None:
        """Delete `topics` of that corpus, and come back when Kafka knows nothing of them."""
        full_names = [self._names[name].topic(topic) for topic in topics]
        for answer in self.admin.delete_topics(full_names).values():
            answer.result()
        there = KafkaTopics(self._names[name].corpus, self.client)
        while there.found().keys() & set(topics):
            time.sleep(0.01)

    def close(self) -> None:
        """Close every log and delete every topic."""
        for log in self._opened:
            log.close()
        full_names = [names.topic(topic) for names in self._names.values() for topic in TOPIC_NAMES]
        for answer in self.admin.delete_topics(full_names).values() if full_names else ():
            answer.exception()  # a test may have deleted it itself


def uris_of(partition: int, count: int) -> list[str]:
    """Uris whose documents belong to `partition` of a corpus with SLOTS of them."""
    named = (f"push:{number}" for number in range(1_000))
    return [uri for uri in named if partition_of(document_id_of(uri), SLOTS) == partition][:count]


@contextmanager
def kafka_corpora() -> Iterator[KafkaCorpora]:
    """Corpora that are deleted when it is left."""
    corpora = KafkaCorpora()
    try:
        yield corpora
    finally:
        corpora.close()
