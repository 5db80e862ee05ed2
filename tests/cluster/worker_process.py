"""A worker as its own process: Faust, Kafka and real slots; attempts answer at once, views are SQLite files.

``python worker_process.py SERVERS CORPUS MANIFEST``
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import faust

from projections.manifest.view import ManifestView
from projections.sql.databases import open_sqlite
from refold.cluster.slot_set import SlotSet
from refold.cluster.worker.intake_app import intake_app
from refold.engine.slots import OwnedSlot
from schemas.events import ArtifactRef
from schemas.ids import random_id
from schemas.registries.memory import MemoryRegistry
from streams.artifact_stores.memory import MemoryArtifacts
from streams.logs.kafka.log import KafkaLog
from streams.logs.kafka.names import KafkaNames
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt, AttemptOutcome, Produced
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload

WORK_S = 0.02
"""What an attempt takes, so that a kill finds some in work."""


class PromptAttempts:
    """Attempts that come to the same version for the same document."""

    parameters: Mapping[str, str] = {}

    async def run(self, attempt: Attempt) -> AttemptOutcome:
        """A version without chunks, after a moment."""
        await asyncio.sleep(WORK_S)
        digest = sha256(attempt.request.uri.encode()).hexdigest()
        ref = ArtifactRef(sha256=digest, size_bytes=1)
        return Produced(
            finding=attempt.request.finding,
            content_hash=digest,
            fingerprint=digest,
            stages=(),
            text=ref,
            chunks=ref,
            vectors=(),
            chunk_count=0,
            media_type="text/plain",
            title=None,
        )

    async def close(self) -> None:
        """Nothing is kept."""


def main() -> None:
    """Work until SIGTERM."""
    servers, corpus, manifest = sys.argv[1:]
    client = {"bootstrap.servers": servers}
    log = KafkaLog(corpus, client, MemoryRegistry())
    states = ManifestView(open_sqlite(Path(manifest), read_only=True), log_id=log.log_id, is_read_only=True)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    pipeline_id, workload = random_id(), Workload(16)

    def make(number: int) -> OwnedSlot:
        attempts = PromptAttempts()
        thread = SlotThread(log=log, attempts=attempts, loop=loop, is_assigned=lambda: slots.owns(number))
        parts = SlotParts(
            log=log,
            states=states,
            artifacts=MemoryArtifacts(lambda: datetime.now(UTC)),
            writer=DocumentEventWriter(pipeline_id=pipeline_id, retries=RetryPolicy(), generator=random.Random(1)),
            workload=workload,
            begin=thread.begin,
            parameters=attempts.parameters,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )
        return OwnedSlot(Slot(number, parts), thread)

    slots = SlotSet(make)
    names = KafkaNames(corpus)
    app = intake_app(group=f"{corpus}-workers", topic=names.topic("requests"), client=client, slots=slots)
    app.conf.broker_session_timeout = 6.0  # so that a killed worker is missed soon
    app.conf.broker_heartbeat_interval = 1.0
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
