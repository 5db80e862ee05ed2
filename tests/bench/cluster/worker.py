"""A worker that only takes in: `python -m tests.bench.cluster.worker SERVERS CORPUS POSTGRES SCHEMA`.

Faust, Kafka, transactions and the manifest in PostgreSQL are real; attempts are held back.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import faust

from projections.manifest.view import ManifestView
from projections.sql.databases import open_postgres
from refold.cluster.slot_set import SlotSet
from refold.cluster.worker.intake_app import intake_app
from refold.engine.slots import OwnedSlot
from schemas.registries.memory import MemoryRegistry
from streams.logs.kafka.log import KafkaLog
from streams.logs.kafka.names import KafkaNames
from streams.slot.slot import Slot
from streams.slot.thread import SlotThread
from tests.bench.cluster.slots import HeldAttempts, slot_parts


def main() -> None:
    """Work until SIGTERM."""
    servers, corpus, address, schema = sys.argv[1:]
    client = {"bootstrap.servers": servers}
    log = KafkaLog(corpus, client, MemoryRegistry())
    states = ManifestView(open_postgres(address, schema=schema, read_only=True), log_id=log.log_id, is_read_only=True)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def make(number: int) -> OwnedSlot:
        thread = SlotThread(log=log, attempts=HeldAttempts(), loop=loop, is_assigned=lambda: slots.owns(number))
        return OwnedSlot(Slot(number, slot_parts(log, states, thread.begin)), thread)

    slots = SlotSet(make)
    names = KafkaNames(corpus)
    app = intake_app(group=names.workers, topic=names.topic("requests"), client=client, slots=slots)
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


if __name__ == "__main__":
    main()
