"""A worker as strangers meet it: schemas from a registry, real stages, and files of one folder only.

``python strict_worker_process.py SERVERS CORPUS MANIFEST REGISTRY ROOT``. It keeps the manifest itself.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import faust

from projections.fold.runner import Runner
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_sqlite
from refold.cluster.slot_set import SlotSet
from refold.cluster.worker.intake_app import intake_app
from refold.engine.slots import OwnedSlot
from schemas.ids import random_id
from schemas.registries.confluent import ConfluentRegistry
from schemas.registries.confluent_client import ConfluentClient
from streams.artifact_stores.memory import MemoryArtifacts
from streams.attempts.attempts import PooledAttempts
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.logs.kafka.log import KafkaLog
from streams.logs.kafka.names import KafkaNames
from streams.slot.answers import DocumentEventWriter
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from streams.sources.local.files import Files
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings
from streams.stages.results import StageKey, StageResult


class NothingKnown:
    """No stage result is known: everything is done."""

    def known(self, keys: Sequence[StageKey]) -> Mapping[StageKey, StageResult]:
        """Nothing."""
        del keys
        return {}


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def main() -> None:
    """Work until SIGTERM."""
    servers, corpus, manifest, registry_url, root = sys.argv[1:]
    client, names = {"bootstrap.servers": servers}, KafkaNames(corpus)
    registry = ConfluentRegistry(ConfluentClient(registry_url), prefix=names.topic(""))
    log = KafkaLog(corpus, client, registry)
    states = ManifestView(open_sqlite(Path(manifest)), log_id=log.log_id)
    Runner(log, ManifestProjection(), states, clock=now).start()
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    pipeline_id, workload, artifacts = random_id(), Workload(16), MemoryArtifacts(now)
    configuration = PoolConfiguration(settings=StageSettings(), embedder=load_embedder(DEFAULT_EMBEDDER))
    attempts = PooledAttempts(
        StagePool(configuration, processes=1),
        readers={"folder": Files(allowed_roots=[Path(root)])},
        artifacts=artifacts,
        stage_results=NothingKnown(),
    )

    def make(number: int) -> OwnedSlot:
        thread = SlotThread(log=log, attempts=attempts, loop=loop, is_assigned=lambda: slots.owns(number))
        parts = SlotParts(
            log=log,
            states=states,
            artifacts=artifacts,
            writer=DocumentEventWriter(pipeline_id=pipeline_id, retries=RetryPolicy(), generator=random.Random(1)),
            workload=workload,
            begin=thread.begin,
            parameters=attempts.parameters,
            clock=now,
            monotonic=time.monotonic,
        )
        return OwnedSlot(Slot(number, parts), thread)

    slots = SlotSet(make)
    app = intake_app(group=f"{corpus}-workers", topic=names.topic("requests"), client=client, slots=slots)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
