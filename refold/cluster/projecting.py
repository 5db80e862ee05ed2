"""`refold projector`: keeps projections up to date until it is told to stop."""

from __future__ import annotations

import signal
import threading

from refold.cluster.corpus import open_corpus
from refold.cluster.projector_wiring import make_projector
from refold.settings import Settings


def run_projector(settings: Settings) -> None:
    """Project until SIGTERM or Ctrl-C; then the leases are given up, so that others go on at once.

    Raises:
        UsageError: a server is not named, or something on it is not as it has to be.
        UnreachableError: one does not answer at the start.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    corpus = open_corpus(settings)
    try:
        make_projector(corpus).run(stop)
    finally:
        corpus.close()
