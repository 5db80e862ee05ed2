"""Documents through the whole cluster, beside the embedded engine over the same ones; and how soon one is found.

Two workers with one stage process each, one projector, real stages; everything on this machine, the servers too. The
vector index is qdrant-client's local mode behind HTTP (`tests/servers/qdrant.py`), one call at a time in one Python
process: what waits for vectors measures that stand-in as well, so each figure is given for the keyword index alone too.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter, sleep
from typing import Any

from tests.bench.cluster.servers import PATIENCE_S, POLL_S, wait_for
from tests.bench.cluster.slots import request_draft
from tests.bench.cluster.storage import bytes_per_document
from tests.bench.corpus import generate
from tests.bench.measured import measured, refold

from tests.worlds.cluster import ClusterWorld, cluster_world  # isort: skip - found by what cluster_servers does

from projections.index.books.books import IndexBooks
from projections.index.changes import KEYWORD, VECTOR
from projections.index.view.view import IndexView
from refold.cluster.client.engine import ClientEngine
from schemas.events import DocumentCompleted
from schemas.positions import Position, TopicPartition
from streams.log import EventLog

DOCUMENTS = 3_000
WARM_UP_DOCUMENTS = 20
WORKERS = 2
PUBLISHED_S = 20.0
SHARE_OF_RATE = 0.5
PUBLISH_EVERY_S = 0.05
INDEXES = (VECTOR, KEYWORD)


def run(*, documents: int = DOCUMENTS, published_s: float = PUBLISHED_S) -> dict[str, Any]:
    """Documents per second of both engines, seconds from publishing to searchable, and bytes per document."""
    with TemporaryDirectory() as place:
        folder = Path(place, "files")
        generate(folder, count=documents)
        embedded = measured(refold("ingest", folder, "--data", Path(place, "embedded")))
        Path(place, "cluster").mkdir()
        with cluster_world(Path(place, "cluster")) as world:
            _start(world, Path(place, "warm-up"))
            with world.client() as engine:
                ingested = _ingested(world, engine, folder, documents)
                stored = bytes_per_document(world, engine, documents + WARM_UP_DOCUMENTS)
                rate = ingested["cluster_documents_per_s"] * SHARE_OF_RATE
                found = _found(engine, rate, published_s)
    embedded_rate = documents / embedded.wall_s
    return {
        "documents": documents,
        "workers": WORKERS,
        "embedded_documents_per_s": embedded_rate,
        **ingested,
        "cluster_per_embedded": ingested["cluster_documents_per_s"] / embedded_rate,
        "keyword_per_embedded": ingested["keyword_documents_per_s"] / embedded_rate,
        "bytes_per_document": stored,
        **found,
    }


def _start(world: ClusterWorld, folder: Path) -> None:
    """Begin projector and workers, and have them take in a few documents, so that everything is connected."""
    for role in ("projector", *["worker"] * WORKERS):
        world.start(role)
    generate(folder, count=WARM_UP_DOCUMENTS, seed=1)
    done = _ingest(world, folder)
    output, _ = done.communicate(timeout=PATIENCE_S)
    assert done.returncode == 0, (output, world.logs())


def _ingest(world: ClusterWorld, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "refold", "ingest", str(folder), "--config", str(world.config), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "REFOLD_ENGINE": "cluster"})


def _ingested(world: ClusterWorld, engine: ClientEngine, folder: Path, documents: int) -> dict[str, float]:
    """Documents per second of an ingest's whole process, which ends when both indexes serve them, and of its steps."""
    began_s, expected = perf_counter(), documents + WARM_UP_DOCUMENTS
    process = _ingest(world, folder)
    answered_s = wait_for(lambda: engine.parts.views.manifest.counts().live_documents >= expected)
    keyword_s = wait_for(lambda: _served(engine, KEYWORD) >= expected)
    output, _ = process.communicate(timeout=PATIENCE_S)
    ended_s = perf_counter()
    result = json.loads(output)
    assert (result["completed"], result["searchable"]) == (documents, True), (result, world.logs())
    return {
        "cluster_documents_per_s": documents / (ended_s - began_s),
        "keyword_documents_per_s": documents / (keyword_s - began_s),
        "answered_documents_per_s": documents / (answered_s - began_s),
    }


def _served(engine: ClientEngine, name: str) -> int:
    generation = _view(engine, name).generation
    return int(IndexBooks(engine.parts.corpus.database, generation).counts().documents)


# -- from publishing to searchable


@dataclass
class _Published:
    """Publishes documents of their own texts at a fixed rate, in a thread; notes when each was due."""

    log: EventLog
    rate: float
    seconds: float
    due_s: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Publish what is due, as often as that can be told apart."""
        words = random.Random(2)
        vocabulary = ["".join(words.choices("aeioubdgklmnprst", k=words.randint(2, 9))) for _ in range(5_000)]
        began_s, count = perf_counter(), 0
        while count < self.rate * self.seconds:
            drafts = []
            while began_s + count / self.rate <= perf_counter() and count < self.rate * self.seconds:
                text = " ".join(words.choices(vocabulary, k=60))
                drafts.append(request_draft(f"published-{count}.txt", text.encode()))
                self.due_s[drafts[-1].key] = began_s + count / self.rate
                count += 1
            if drafts:
                self.log.append(None, drafts)
            sleep(PUBLISH_EVERY_S)


def _found(engine: ClientEngine, rate: float, seconds: float) -> dict[str, Any]:
    """How long documents took from when they were due to be published until each index served them."""
    log, partitions = engine.parts.log, engine.parts.log.partitions("documents")
    begin, published = log.end(partitions), _Published(log, rate, seconds)
    publishing, completed = Thread(target=published.run), dict[str, tuple[TopicPartition, int]]()
    publishing.start()
    looks: dict[str, list[tuple[float, Position]]] = {name: [] for name in INDEXES}
    at, deadline_s = begin, perf_counter() + PATIENCE_S
    while publishing.is_alive() or len(completed) < len(published.due_s) or not _all_reached(looks, completed):
        assert perf_counter() < deadline_s, f"{len(completed)} of {len(published.due_s)} were completed"
        for name in INDEXES:
            looks[name].append((perf_counter(), _view(engine, name).position()))
        if not publishing.is_alive():
            at = _read_on(log, at, completed)
        sleep(POLL_S)
    waits = {name: _waits(published, completed, looks[name]) for name in INDEXES}
    both = [max(pair) for pair in zip(*waits.values(), strict=True)]
    return {
        "published_per_s": rate,
        "published": len(published.due_s),
        **_percentiles("searchable", both),
        **_percentiles("searchable_keyword", waits[KEYWORD]),
        **_percentiles("searchable_vector", waits[VECTOR]),
    }


def _view(engine: ClientEngine, name: str) -> IndexView[Any]:
    return engine.parts.views.indexes[name]


def _read_on(log: EventLog, at: Position, completed: dict[str, tuple[TopicPartition, int]]) -> Position:
    for batch in log.read(log.partitions("documents"), at):
        for recorded in batch.recorded:
            if isinstance(recorded.event, DocumentCompleted):
                place = TopicPartition(recorded.topic, recorded.partition)
                completed[recorded.key] = (place, recorded.offset)
        at = at.joined(batch.next_position)
    return at


def _all_reached(looks: dict[str, list[tuple[float, Position]]], completed: dict[str, Any]) -> bool:
    return all(offset < looks[name][-1][1].offset(place) for name in INDEXES for place, offset in completed.values())


def _waits(
    published: _Published, completed: dict[str, tuple[TopicPartition, int]], looks: Sequence[tuple[float, Position]]
) -> list[float]:
    """Seconds of each document, in the order of publishing, until a look saw the index beyond its answer."""
    return [
        next(seen_s for seen_s, position in looks if position.offset(place) > offset) - due_s
        for due_s, (place, offset) in ((due_s, completed[key]) for key, due_s in published.due_s.items())
    ]


def _percentiles(name: str, waits: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(waits, n=20)
    return {f"{name}_p50_s": cuts[9], f"{name}_p95_s": cuts[18]}
