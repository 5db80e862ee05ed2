"""`refold worker`: owns the slots that Kafka assigns to it, until it is stopped."""

from __future__ import annotations

from contextlib import closing

import faust

from refold.cluster.corpus import open_corpus
from refold.cluster.health.health import Health, Watched, slot_samples
from refold.cluster.health.metrics import DocumentMetrics, SlotMetrics
from refold.cluster.worker.intake_app import intake_app
from refold.cluster.worker.wiring import WorkerParts
from refold.process.setup import prepare
from refold.settings.settings import Settings
from streams.logs.kafka.names import KafkaNames

HEARTBEATS_PER_SESSION = 5
"""Heartbeats within a session's timeout: one that is lost, or late, costs nothing."""


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or Ctrl-C: documents in progress are finished, or released within seconds.

    It shows how it is where ``cluster.health_port`` says.

    Raises:
        RefoldError: see `open_corpus` and `Health`; later, what stopped a slot: everything that was durable stays so.
    """
    prepare(log_level=settings.log_level, engine=settings.engine)
    with (
        Health(settings.cluster) as health,
        closing(open_corpus(settings)) as corpus,
        closing(WorkerParts(corpus, written=DocumentMetrics(health.registry).written)) as parts,
    ):
        slots = parts.slots
        health.registry.register(SlotMetrics(slots.statuses))
        health.watch(Watched(lambda: slot_samples(slots.statuses(), corpus.log), parts.not_ready))
        _run(settings, parts)
        slots.check()


def _run(settings: Settings, parts: WorkerParts) -> None:
    cluster = settings.cluster
    names = KafkaNames(cluster.corpus)
    app = intake_app(group=names.workers, topic=names.topic("requests"), client=cluster.kafka, slots=parts.slots)
    app.conf.broker_session_timeout = cluster.session_timeout_s
    app.conf.broker_heartbeat_interval = cluster.session_timeout_s / HEARTBEATS_PER_SESSION
    worker = faust.Worker(app, loglevel=settings.log_level.upper(), redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as exc:  # how Faust ends
        if exc.code:
            parts.slots.check()
            raise
