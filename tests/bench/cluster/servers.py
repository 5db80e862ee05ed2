"""What measurements of the cluster share: the servers of the run, corpora in Kafka, and schemas in PostgreSQL.

The servers are those of the tests (`tests/servers/run.py`): by an address in the environment, else started from
packages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from projections.sql.databases import open_postgres
from streams.logs.kafka.names import KafkaNames
from tests.servers import run as servers
from tests.servers.kafka_corpora import KafkaCorpora, kafka_corpora

POLL_S = 0.05
PATIENCE_S = 300.0
"""How long anything measured here may take before it counts as stuck."""


@contextmanager
def bench_corpus(*, slots: int) -> Iterator[tuple[KafkaCorpora, str]]:
    """A corpus of `slots` in Kafka, and its name; `corpora.open(BENCH)` opens its log. Deleted when it is left."""
    with kafka_corpora() as corpora:
        names = KafkaNames(f"bench-{uuid4().hex[:12]}")
        corpora.adopt(BENCH, names)
        corpora.create(BENCH, slots=slots)
        yield corpora, names.corpus


BENCH = "bench"
"""What corpora call it."""


@contextmanager
def bench_schema() -> Iterator[str]:
    """The name of a schema in PostgreSQL that is dropped when it is left."""
    schema = f"bench_{uuid4().hex[:12]}"
    try:
        yield schema
    finally:
        engine = open_postgres(postgres(), schema=schema)
        with engine.begin() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        engine.dispose()


def postgres() -> str:
    """The address of PostgreSQL."""
    return servers.address_of("postgres")


def wait_for(is_so: Callable[[], bool], *, poll_s: float = POLL_S, patience_s: float = PATIENCE_S) -> float:
    """Return the moment (`perf_counter`) at which `is_so` was seen to hold.

    Raises:
        TimeoutError: it does not after `patience_s`.
    """
    deadline_s = time.perf_counter() + patience_s
    while not is_so():
        if time.perf_counter() > deadline_s:
            raise TimeoutError(f"not so after {patience_s:.0f} s")
        time.sleep(poll_s)
    return time.perf_counter()


def stop_servers() -> None:
    """End the servers that were started for this run."""
    servers.stop()
