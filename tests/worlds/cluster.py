"""A whole cluster for one test: a corpus of its own on real servers, and workers and projectors as processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from projections.sql.databases import open_postgres
from refold.cluster.client.engine import ClientEngine
from refold.cluster.client.wiring import open_client
from refold.cluster.connections import index_prefix
from refold.settings.settings import Settings, load_settings
from schemas.registries.confluent import register_schemas
from schemas.registries.confluent_client import ConfluentClient
from streams.logs.kafka.names import KafkaNames
from streams.logs.kafka.topics import KafkaTopics
from streams.logs.topic_plan import load_topics
from tests.commands.cli_here import CliHere
from tests.servers.kafka_corpora import KafkaCorpora
from tests.servers.leftovers import drop_collections, drop_indexes, drop_subjects
from tests.servers.qdrant import qdrant_over_http
from tests.servers.run import RUN, address_of, qdrant_grpc_port

ROOT = Path(__file__).parents[2]
SLOTS = 4
READY_S = 60.0
LOGGED_WITHIN_S = 60.0

LEASE_S = 3.0
SESSION_TIMEOUT_S = 6.0
"""Short, so that a killed process is missed soon; brokers take no less."""


@dataclass
class ClusterWorld:
    """One corpus; `start` begins its processes, `engine` and `cli` use it."""

    folder: Path
    corpus: str
    values: Mapping[str, Any]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The settings file, for every process."""
        return self.folder / "cluster.json"

    def settings(self) -> Settings:
        """The same settings, for this process."""
        return load_settings(self.values)

    @contextmanager
    def client(self) -> Iterator[ClientEngine]:
        """The engine of a client in this process."""
        with open_client(self.settings()) as engine:
            yield engine

    @property
    def cli(self) -> CliHere:
        """The command line."""
        return CliHere(
            self.folder / "unused", environment={"REFOLD_CONFIG": str(self.config), "REFOLD_ENGINE": "cluster"}
        )

    def start(self, command: str) -> subprocess.Popen[str]:
        """Begin a worker or a projector, in a process group of its own."""
        log = self.folder / f"{command}-{len(self.started)}.log"
        process = subprocess.Popen(
            [sys.executable, "-m", "refold", command, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.started.append(process)
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL to the whole group of `process`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_until_logged(self, text: str) -> None:
        """Return when one of the processes has said `text`: a command may be told what is wrong before they look."""
        deadline_s = time.monotonic() + LOGGED_WITHIN_S
        while not any(text in path.read_text() for path in self.folder.glob("*.log")):
            assert time.monotonic() < deadline_s, f"nobody said {text!r}: {self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """What the processes have said, for a failed test."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-4_000:]}" for path in sorted(self.folder.glob("*.log")))


@contextmanager
def cluster_world(folder: Path, *, slots: int = SLOTS, **more: Any) -> Iterator[ClusterWorld]:
    """A new corpus on the servers of this run; everything of it is gone when it is left."""
    pytest.importorskip("faust", reason="needs pip install 'refold[kafka]'")
    corpus = f"test-{RUN}-{uuid4().hex[:12]}"
    addresses = {name: address_of(name) for name in ("kafka", "registry", "opensearch", "postgres")}
    client = {"bootstrap.servers": addresses["kafka"]}
    with contextlib.ExitStack() as stack:
        qdrant = os.environ.get("QDRANT_URL") or stack.enter_context(qdrant_over_http())
        KafkaTopics(corpus, client).apply(load_topics(partitions=slots, replication_factor=1))
        stack.callback(forget_corpus, corpus, qdrant=qdrant)
        register_schemas(ConfluentClient(addresses["registry"]), prefix=f"refold.{corpus}.")
        values = {
            "engine": "cluster",
            "pool": {"processes": 1},
            "log_level": "info",
            "cluster": {
                "corpus": corpus,
                "kafka": client,
                "registry": addresses["registry"],
                "postgres": addresses["postgres"],
                "opensearch": addresses["opensearch"],
                "qdrant": qdrant,
                "qdrant_grpc_port": qdrant_grpc_port(),
                "artifacts": str(folder / "artifacts"),
                "lease_s": LEASE_S,
                "session_timeout_s": SESSION_TIMEOUT_S,
                **more,
            },
        }
        world = ClusterWorld(folder, corpus, values)
        world.config.write_text(json.dumps(values))  # which YAML can read, too
        try:
            yield world
        finally:
            for process in world.started:
                world.kill(process)


def forget_corpus(corpus: str, *, qdrant: str) -> None:
    """Leave nothing of a corpus that a test has made: on Kafka, PostgreSQL, OpenSearch, Qdrant and the registry."""
    _delete_topics(corpus)
    _drop_schema(address_of("postgres"), f"refold_{corpus}")
    drop_indexes(address_of("opensearch"), f"{index_prefix(corpus)}-")
    drop_collections(qdrant, f"{index_prefix(corpus)}-")
    drop_subjects(address_of("registry"), f"refold.{corpus}.")


def _delete_topics(corpus: str) -> None:
    corpora = KafkaCorpora()
    corpora.adopt("log", KafkaNames(corpus))
    corpora.close()


def _drop_schema(address: str, schema: str) -> None:
    engine = open_postgres(address, schema=schema)
    with engine.begin() as connection:
        connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    engine.dispose()
