"""A corpus as producers meet it: a real Kafka, its schemas in a real registry, a worker as its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.events import PipelineEvent
from schemas.positions import Position
from schemas.registries.confluent import ConfluentRegistry, register_schemas
from schemas.registries.confluent_client import ConfluentClient
from streams.log import Recorded
from streams.logs.kafka.log import KafkaLog
from streams.logs.kafka.names import KafkaNames
from tests.servers.kafka_corpora import KafkaCorpora, kafka_corpora
from tests.servers.run import address_of

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "cluster" / "strict_worker_process.py"
PATIENCE_S = 90


class ProducersWorld:
    """What a producer is told, and what the log says meanwhile; files may be read from `folder` only."""

    def __init__(self, corpora: KafkaCorpora, registry_url: str, folder: Path) -> None:
        self.servers = corpora.client["bootstrap.servers"]
        self.registry_url = registry_url
        self.names: KafkaNames = corpora.names("log")
        self.folder = folder
        self.client = ConfluentClient(registry_url)
        register_schemas(self.client, prefix=self.names.topic(""))
        self.registry = ConfluentRegistry(self.client, prefix=self.names.topic(""))
        self.log = KafkaLog(self.names.corpus, corpora.client, self.registry)

    @property
    def variables(self) -> dict[str, str]:
        """What a producer finds in its environment."""
        return {
            "CORPUS": self.names.corpus,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "SCHEMA_REGISTRY_URL": self.registry_url,
        }

    def wait_for(self, topic: str, enough: Callable[[Collection[PipelineEvent]], bool]) -> list[Recorded]:
        """All of `topic`, once there is `enough` in it; fails where that does not come."""
        partitions, position, waits = self.log.partitions(topic), Position(), PATIENCE_S
        seen: list[Recorded] = []
        while waits:
            for batch in self.log.read(partitions, position):
                seen += batch.recorded
                position = position.joined(batch.next_position)
            if enough([recorded.event for recorded in seen]):
                return seen
            waits -= not self.log.wait_beyond(partitions, position, 1.0)
        pytest.fail(f"{topic} holds no more than {[recorded.event for recorded in seen]}")

    def close(self) -> None:
        """Let go of the servers."""
        self.log.close()
        self.client.close()


@contextmanager
def producers_world(folder: Path) -> Iterator[ProducersWorld]:
    """A new corpus, its worker running; `folder` is for its files."""
    pytest.importorskip("faust", reason="needs pip install 'refold[kafka]'")
    registry_url = address_of("registry")
    allowed = folder / "allowed"
    allowed.mkdir()
    with kafka_corpora() as corpora, (folder / "worker.log").open("w") as output:
        world = ProducersWorld(corpora, registry_url, allowed)
        process = subprocess.Popen(
            [
                sys.executable,
                str(WORKER),
                world.servers,
                world.names.corpus,
                str(folder / "manifest.sqlite"),
                registry_url,
                str(allowed),
            ],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            yield world
            assert process.poll() is None, (folder / "worker.log").read_text()
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            world.close()
