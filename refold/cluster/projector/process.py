"""`refold projector`: keeps projections up to date until it is stopped."""

from __future__ import annotations

import signal
import threading
from contextlib import closing

from refold.cluster.corpus import open_corpus
from refold.cluster.health.health import Health, Watched, projection_samples
from refold.cluster.health.metrics import ProjectionMetrics
from refold.cluster.projector.wiring import make_projector
from refold.engine.assembly import now
from refold.process.setup import prepare
from refold.settings.settings import Settings


def run_projector(settings: Settings) -> None:
    """Project until SIGTERM or Ctrl-C; then the leases are given up, so that others go on at once.

    It shows how it is where ``cluster.health_port`` says; for errors see `open_corpus` and `Health`.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    prepare(log_level=settings.log_level, engine=settings.engine)
    with Health(settings.cluster) as health, closing(open_corpus(settings)) as corpus:
        projector = make_projector(corpus)
        health.registry.register(ProjectionMetrics(projector.statuses, clock=now))
        health.watch(Watched(lambda: projection_samples(projector.statuses()), projector.not_ready))
        projector.run(stop)
