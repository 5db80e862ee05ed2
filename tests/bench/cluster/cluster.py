"""The processes of a cluster, measured on one machine with all its servers: `python -m tests.bench cluster`.

A projector beside a bare consumer, and owning a slot (`replay.py`); intake (`cluster_intake.py`); documents
through everything beside the embedded engine (`cluster_documents.py`). What this means for sizing: `ops/scale.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.cluster import documents as cluster_documents
from tests.bench.cluster import intake as cluster_intake
from tests.bench.cluster import replay
from tests.bench.cluster.servers import stop_servers
from tests.bench.figures import STAND_IN


def run(
    *,
    documents: int = cluster_documents.DOCUMENTS,
    events: int = replay.EVENTS,
    requests: int = cluster_intake.REQUESTS,
) -> dict[str, Any]:
    """All figures of the cluster; the servers are those of this run and end with it."""
    try:
        return {
            **replay.run(events=events),
            **cluster_intake.run(requests=requests),
            **cluster_documents.run(documents=documents),
        }
    finally:
        stop_servers()


def described(measured: Mapping[str, Any]) -> list[str]:
    """What was measured on, in lines for people, and bytes per document."""
    sizes = ", ".join(f"{name} {size:,.0f}" for name, size in measured["bytes_per_document"].items())
    inputs = (
        f"{measured['documents']:,} documents of 60 words, {measured['workers']} workers, 1 projector",
        f"{measured['events']:,} events of 1 slot",
        f"{measured['requests']:,} requests of {measured['slots']} slots",
    )
    return [
        f"cluster: {'; '.join(inputs)}",
        f"bytes per document: {sizes}",
        f"{STAND_IN} waits for qdrant-client's local mode behind HTTP: one Python process that stands in for a server",
    ]
