"""The Faust application of a worker: Kafka's assignment of `requests` decides which slots this process owns.

Faust is the shell only. It joins the group, hands out partitions, delivers and commits; what a slot takes it reads
through the log port, in order and without gaps, and keeps in the log. So nothing rests on what Faust commits: an offset
that runs ahead (its issue 606) or behind costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from refold.cluster.slot_set import SlotSet
from refold.cluster.worker.deliveries import Deliveries
from refold.cluster.worker.faust_credentials import credentials_of
from schemas.errors import RefoldError
from streams.process_log import ProcessLogger

ACKNOWLEDGE_EVERY_S: Final = 0.1
"""How often it is looked what can be acknowledged: only lag tools wait for it."""

WATCH_EVERY_S: Final = 1.0
"""How often slots are asked whether they have failed."""

BUFFERED_RECORDS: Final = 1_024
"""Records that Faust keeps before the agent takes them: some may carry 900 KiB."""

_log = ProcessLogger(__name__)


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """Delivers what is committed; Faust reads so only in its own transactions."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust passes no such option on
        return consumer


class CommittedConsumer(driver.Consumer):
    """Uses that thread."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """Uses that consumer."""

    Consumer = CommittedConsumer


def intake_app(*, group: str, topic: str, client: Mapping[str, str], slots: SlotSet) -> faust.App:
    """An application that owns the slots of the partitions it is assigned.

    `group` is its consumer group and id, `topic` the full name of `requests`; of `client`, librdkafka's settings, it
    takes servers, TLS and SASL.
    """
    app = faust.App(
        group,
        broker=[f"kafka://{server.strip()}" for server in client["bootstrap.servers"].split(",")],
        broker_credentials=credentials_of(client),
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        store="memory://",
        stream_buffer_maxsize=BUFFERED_RECORDS,
        stream_wait_empty=False,  # deliveries are not waited for: a slot keeps what it has taken
        table_standby_replicas=1,  # Faust's own assignor, which leaves partitions where they are
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = CommittedTransport(app.conf.broker, app, loop=app.loop)
    deliveries = Deliveries(slots.taken_offset)
    _deliver(app, topic, slots, deliveries)
    _follow_assignment(app, topic, slots, deliveries)
    return app


def _deliver(app: faust.App, topic: str, slots: SlotSet, deliveries: Deliveries) -> None:
    requests = app.topic(topic, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)

    @app.agent(requests, concurrency=1, name="refold-intake")
    async def intake(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            number, offset = event.message.partition, event.message.offset
            if not slots.owns(number):
                continue  # its owner reads it again
            deliveries.add(number, offset, partial(manual.ack, event))
            slots.delivered(number)
            await deliveries.room(number)

    @app.timer(ACKNOWLEDGE_EVERY_S)  # type: ignore[untyped-decorator]  # Faust does not say
    async def acknowledge() -> None:
        await deliveries.acknowledge_taken()


def _follow_assignment(app: faust.App, topic: str, slots: SlotSet, deliveries: Deliveries) -> None:
    def numbers_of(partitions: Collection[TP]) -> set[int]:
        return {tp.partition for tp in partitions if tp.topic == topic}

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(_app: faust.App, partitions: Collection[TP], **_: Any) -> None:
        numbers = numbers_of(partitions)
        await asyncio.to_thread(slots.give_up, numbers)
        for number in numbers:
            deliveries.forget(number)

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: faust.App, partitions: Collection[TP], **_: Any) -> None:
        await asyncio.to_thread(slots.assign, numbers_of(partitions))
        _log.info("slots assigned", slots=sorted(slots.numbers))

    @app.on_before_shutdown.connect(weak=False)
    async def leaving(_app: faust.App, **_: Any) -> None:
        await asyncio.to_thread(slots.give_up, slots.numbers)

    @app.timer(WATCH_EVERY_S)  # type: ignore[untyped-decorator]  # as above
    async def watch() -> None:
        try:
            slots.check()
        except RefoldError as error:
            _log.exception("a slot stopped")
            await app.crash(error)
