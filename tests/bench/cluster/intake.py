"""How many requests a second one worker takes in: those that were published before it began, on four slots.

The worker is a process of its own (`cluster_worker.py`); nothing but the servers runs beside it. There are no more
requests than a slot takes in while the manifest stands still, so that no projector is waited for.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from projections.manifest.view import ManifestView
from projections.sql.databases import open_postgres
from streams.log import EventLog
from streams.slot.overlay import INTAKE_SHARE, OVERLAY_LIMIT
from tests.bench.cluster.servers import BENCH, PATIENCE_S, bench_corpus, bench_schema, postgres
from tests.bench.cluster.slots import request_draft

SLOTS = 4
REQUESTS = int(SLOTS * OVERLAY_LIMIT * INTAKE_SHARE * 0.9)  # keys do not spread evenly
PER_APPEND = 1_000
LOOK_S = 0.02
ROOT = Path(__file__).parents[3]


def run(*, requests: int = REQUESTS) -> dict[str, Any]:
    """Requests per second, from the worker's first commit that is seen to the last."""
    with bench_corpus(slots=SLOTS) as (corpora, corpus), bench_schema() as schema:
        log = corpora.open(BENCH)
        ManifestView(open_postgres(postgres(), schema=schema), log_id=log.log_id).close()  # as a projector makes it
        for start in range(0, requests, PER_APPEND):
            names = range(start, min(start + PER_APPEND, requests))
            log.append(None, [request_draft(f"document-{number}") for number in names])
        with _worker(corpora.client["bootstrap.servers"], corpus, postgres(), schema):
            taken, seconds = _taken(log, requests)
    return {"slots": SLOTS, "requests": requests, "requests_per_s": taken / seconds}


@contextmanager
def _worker(*arguments: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.cluster.worker", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _taken(log: EventLog, requests: int) -> tuple[int, float]:
    """How many were taken after the first that were seen, and in how many seconds.

    What else a slot appends counts as well: a commit marker per thousand, and sixteen starts.
    """
    partitions = log.partitions("documents")
    looks = [(perf_counter(), 0)]
    while looks[-1][1] < requests:
        assert looks[-1][0] - looks[0][0] < PATIENCE_S, f"{looks[-1][1]} of {requests} were taken"
        sleep(LOOK_S)
        count = sum(log.end(partitions).values())
        if count != looks[-1][1]:
            looks.append((perf_counter(), count))
    (began_s, first), (ended_s, _) = looks[1], looks[-1]
    return requests - first, ended_s - began_s
