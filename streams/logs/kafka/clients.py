"""Clients of Kafka, all made from one mapping of settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from schemas.extras import extra
from streams.logs.kafka.faults import mapped_kafka_errors

with extra("kafka"):
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient

ClientSettings = Mapping[str, str]
"""librdkafka's settings by name: `bootstrap.servers`, and what TLS and SASL need. They win over those made here."""

MAX_RECORD_BYTES = 2_000_000
"""The largest record: 900 KiB of content that is sent inline, its metadata, and room. `topics.yaml` allows 2 MiB."""

RETRY_BACKOFF_MS = 5
"""A commit meets the coordinator still busy with the one before; the default of 100 ms made 10 commits/s of 49."""

TRANSACTION_TIMEOUT_MS = 15_000
"""How long a dead owner's open transaction may hold back every reader."""

DELIVERY_TIMEOUT_MS = 30_000
"""How long an append outside a slot is tried: longer than a broker takes to hand over its partitions."""

FETCH_WAIT_MS = 50
"""How long a broker holds a fetch that finds nothing; a read waits that long to learn that it has come to the end."""

FETCH_BYTES = 16 << 20
"""What a consumer keeps ahead: a thousand requests that carry their content would be 900 MB."""

CONNECT_TIMEOUT_S = 10.0
"""How long a first connection may take: librdkafka's own limit for setting one up is 30 s, for all brokers."""

# What librdkafka writes to standard error by itself goes here, once it is polled; all that matters is raised as well.
_LOGGER = logging.getLogger("refold.kafka")
_LOGGER.addHandler(logging.NullHandler())


def make_admin(client: ClientSettings) -> AdminClient:
    """An admin client; the first question connects."""
    with mapped_kafka_errors("open", _servers(client)):
        return AdminClient(_with(client, {}))


def make_producer(client: ClientSettings, *, transactional_id: str | None = None) -> Producer:
    """An idempotent producer, or with an id a transactional one; connected."""
    settings: dict[str, Any] = {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "message.max.bytes": MAX_RECORD_BYTES,
        "compression.type": "lz4",
    }
    if transactional_id is None:
        settings |= {"delivery.timeout.ms": DELIVERY_TIMEOUT_MS, "linger.ms": 1}
    else:
        settings |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "retry.backoff.ms": RETRY_BACKOFF_MS,
        }
    with mapped_kafka_errors("connect", _servers(client)):
        producer = Producer(_with(client, settings))
        # Unless a broker is connected when a producer id is first asked for, the next try is half a second later.
        producer.list_topics(timeout=CONNECT_TIMEOUT_S)
        return producer


def make_consumer(client: ClientSettings, *, group: str, is_committed_only: bool) -> Consumer:
    """A consumer that is told what to read, commits no offsets and fails at an offset that is not kept."""
    settings = {
        "group.id": group,
        "isolation.level": "read_committed" if is_committed_only else "read_uncommitted",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "fetch.max.bytes": FETCH_BYTES,
        "queued.max.messages.kbytes": FETCH_BYTES >> 10,
        "queued.min.messages": 10_000,
    }
    with mapped_kafka_errors("connect", _servers(client)):
        consumer = Consumer(_with(client, settings))
        consumer.list_topics(timeout=CONNECT_TIMEOUT_S)  # else the first read waits for it by tenths of a second
        return consumer


def _with(client: ClientSettings, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"client.id": "refold", "logger": _LOGGER, **settings, **client}


def _servers(client: ClientSettings) -> str:
    return client.get("bootstrap.servers", "Kafka")
