"""What a document takes in each system, after an ingest: bytes as the systems themselves tell them.

Qdrant's are computed, for tests have no Qdrant server: 4 bytes per dimension, the payload as JSON, 16 bytes of id and 8
of version per point (its storage of vectors and payloads; no graph is built, and its log of writes is emptied).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch
from qdrant_client import QdrantClient

from projections.sql.databases import open_postgres
from refold.cluster.client.engine import ClientEngine
from refold.engine.engine import SQL_VIEWS
from streams.log import TOPIC_NAMES
from streams.logs.kafka.names import KafkaNames
from tests.servers import run as servers
from tests.worlds.cluster import ClusterWorld

POINT_ID_BYTES = 16
POINT_VERSION_BYTES = 8
SAMPLED_POINTS = 200

_TABLES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = to_regnamespace(current_schema())
"""


def bytes_per_document(world: ClusterWorld, engine: ClientEngine, documents: int) -> dict[str, float]:
    """Bytes by system and part, each divided by `documents`; the log's are left out where Kafka is not of this run."""
    cluster = world.settings().cluster
    assert cluster.postgres is not None
    assert cluster.opensearch is not None
    totals = {
        **{f"log_{topic}": size for topic, size in _log(world.corpus).items()},
        **{f"artifacts_{name}": size for name, size in _artifacts(world.folder / "artifacts").items()},
        **{f"postgres_{part}": size for part, size in _postgres(cluster.postgres.get_secret_value(), world).items()},
        "opensearch": _opensearch(cluster.opensearch.get_secret_value(), world),
    }
    points = engine.parts.views.vector.status().counts.chunks
    per_point = _point_bytes(str(cluster.qdrant), dim=engine.parts.views.vector.generation.spec.dim)
    per_document = {name: size / documents for name, size in totals.items()}
    return per_document | {"qdrant_computed": per_point * points / documents, "chunks": points / documents}


def _log(corpus: str) -> dict[str, int]:
    """The segments of each topic, as Kafka keeps them: batches compressed by lz4."""
    data, names = servers.run_folder() / "stack" / "kafka" / "data", KafkaNames(corpus)
    if not data.is_dir():  # a server of somebody else's
        return {}
    return {
        topic: sum(path.stat().st_size for path in data.glob(f"{names.topic(topic)}-*/*.log")) for topic in TOPIC_NAMES
    }


def _artifacts(folder: Path) -> dict[str, int]:
    """What the blobs hold, and what the file system gives them: whole blocks."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return {"bytes": sum(one.st_size for one in stats), "on_disk": sum(512 * one.st_blocks for one in stats)}


def _postgres(address: str, world: ClusterWorld) -> dict[str, int]:
    """Tables with their indexes, by the view that they belong to."""
    engine = open_postgres(address, schema=f"refold_{world.corpus}", read_only=True)
    with engine.connect() as connection:
        sizes = {str(name): int(size) for name, size in connection.exec_driver_sql(_TABLES)}
    engine.dispose()
    return {part: sum(found) for part, found in _grouped(sizes, SQL_VIEWS) if found}


def _grouped(sizes: Mapping[str, int], views: Collection[str]) -> Iterator[tuple[str, list[int]]]:
    for view in views:
        yield view, [size for name, size in sizes.items() if name.startswith(view)]
    yield "indexes", [size for name, size in sizes.items() if not name.startswith(tuple(views))]


def _opensearch(address: str, world: ClusterWorld) -> int:
    client, pattern = OpenSearch([address]), f"refold-{world.corpus}-*"
    client.indices.flush(index=pattern)
    stats: dict[str, Any] = client.indices.stats(index=pattern, metric="store")
    return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])


def _point_bytes(address: str, *, dim: int) -> float:
    client = QdrantClient(address, check_compatibility=False)
    name = client.get_collections().collections[0].name
    points, _ = client.scroll(name, limit=SAMPLED_POINTS, with_payload=True)
    client.close()
    payload = sum(len(json.dumps(point.payload)) for point in points) / len(points)
    return 4 * dim + payload + POINT_ID_BYTES + POINT_VERSION_BYTES
