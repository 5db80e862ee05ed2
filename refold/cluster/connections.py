"""What the processes of a cluster connect to, by their settings: log, artifacts, SQL, and where the indexes live."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine as SqlEngine

from projections.backends.deferred_generations import DeferredGenerations
from projections.backends.generation_names import GenerationNames
from projections.index.changes import KeywordIndex, VectorIndex
from projections.index.generation_store import GenerationStore
from projections.index.view.home import IndexHome
from projections.sql.databases import open_postgres
from refold.settings.cluster import ClusterSettings
from schemas.errors import UsageError
from schemas.registries.confluent import ConfluentRegistry
from schemas.registries.confluent_client import ConfluentClient
from streams.artifact_stores.objects import ObjectArtifacts
from streams.artifact_stores.s3 import S3Artifacts
from streams.artifact_stores.shared_folder import SharedFolderArtifacts
from streams.logs.kafka.log import KafkaLog

Clock = Callable[[], datetime]

_NO_INDEX_NAME = re.compile(r"[^a-z0-9-]")


def open_log(cluster: ClusterSettings, *, read_only: bool = False) -> KafkaLog:
    """The log of the corpus.

    Raises:
        UnreachableError: Kafka or the registry cannot be reached.
        UsageError: an address or a topic is lacking, or a schema is not registered.
    """
    if "bootstrap.servers" not in cluster.kafka:
        raise _lacking("kafka", "KAFKA_BOOTSTRAP_SERVERS, or cluster.kafka with bootstrap.servers")
    if cluster.registry is None:
        raise _lacking("registry", "SCHEMA_REGISTRY_URL")
    client = ConfluentClient(cluster.registry.get_secret_value())
    registry = ConfluentRegistry(client, prefix=f"refold.{cluster.corpus}.", read_only=read_only)
    return KafkaLog(cluster.corpus, cluster.kafka, registry)


def open_sql(cluster: ClusterSettings, *, read_only: bool = False, owner: str | None = None) -> SqlEngine:
    """An engine for the corpus's schema of the PostgreSQL database; connects at first use. See `open_postgres`."""
    if cluster.postgres is None:
        raise _lacking("postgres", "POSTGRES_URL")
    url, schema = cluster.postgres.get_secret_value(), _schema_of(cluster.corpus)
    return open_postgres(url, schema=schema, read_only=read_only, owner=owner)


def open_artifacts(cluster: ClusterSettings, *, clock: Clock) -> ObjectArtifacts:
    """The artifact store that all processes share.

    Raises:
        UnreachableError: the storage cannot be reached.
        UsageError: none is named, or it is not there.
    """
    if cluster.artifacts is None:
        raise _lacking("artifacts", "s3://BUCKET/PREFIX, or a folder on one machine")
    address = urlsplit(cluster.artifacts)
    if address.scheme == "s3":
        return S3Artifacts(
            address.netloc,
            prefix=address.path.strip("/") or cluster.corpus,
            clock=clock,
            endpoint=cluster.artifacts_endpoint,
            region=cluster.artifacts_region,
        )
    if address.scheme:
        raise UsageError(
            f"artifacts cannot be kept at {cluster.artifacts}",
            op="open artifacts",
            hint="s3://BUCKET/PREFIX or a folder",
        )
    return SharedFolderArtifacts(Path(cluster.artifacts), clock=clock)


def vector_home(cluster: ClusterSettings, index: VectorIndex, *, database: SqlEngine, log_id: str) -> IndexHome[Any]:
    """Where the vector index lives: a collection in Qdrant per generation."""
    if cluster.qdrant is None:
        raise _lacking("qdrant", "QDRANT_URL")
    key, prefix = cluster.qdrant_api_key, index_prefix(cluster.corpus)

    def collections(url: str) -> GenerationStore[Any]:
        from projections.backends.qdrant.generations import QdrantGenerations  # noqa: PLC0415 - slow to import
        from projections.backends.qdrant.server import QdrantServer  # noqa: PLC0415 - as above

        server = QdrantServer(
            url=url,
            prefix=prefix,
            api_key=key.get_secret_value() if key else None,
            grpc_port=cluster.qdrant_grpc_port,
            search_timeout_s=cluster.search_timeout_s,
        )
        return QdrantGenerations(server, dim=index.spec.dim or 0)

    store = DeferredGenerations(GenerationNames(prefix, index.spec.name).pattern, partial(collections, cluster.qdrant))
    return IndexHome(index.spec, log_id=log_id, store=store, database=database)


def keyword_home(cluster: ClusterSettings, index: KeywordIndex, *, database: SqlEngine, log_id: str) -> IndexHome[Any]:
    """Where the keyword index lives: an index in OpenSearch per generation."""
    if cluster.opensearch is None:
        raise _lacking("opensearch", "OPENSEARCH_URL")
    prefix = index_prefix(cluster.corpus)

    def indexes(url: str) -> GenerationStore[Any]:
        from projections.backends.opensearch.generations import OpenSearchGenerations  # noqa: PLC0415 - slow to import
        from projections.backends.opensearch.server import OpenSearchServer  # noqa: PLC0415 - as above

        server = OpenSearchServer(url=url, prefix=prefix, search_timeout_s=cluster.search_timeout_s)
        return OpenSearchGenerations(server)

    location = GenerationNames(prefix, index.spec.name).pattern
    store = DeferredGenerations(location, partial(indexes, cluster.opensearch.get_secret_value()))
    return IndexHome(index.spec, log_id=log_id, store=store, database=database)


def index_prefix(corpus: str) -> str:
    """What the names of a corpus's collections and indexes begin with: lower-case, and another one for each corpus."""
    plain = _NO_INDEX_NAME.sub("-", corpus.lower())
    return f"refold-{plain}" if plain == corpus else f"refold-{plain}-{_digest(corpus)}"


def _schema_of(corpus: str) -> str:
    """The corpus's schema; a name that PostgreSQL would cut ends in a digest instead."""
    name = f"refold_{corpus}"
    return name if len(name) <= 63 else f"{name[:54]}_{_digest(corpus)}"  # noqa: PLR2004 - PostgreSQL's limit


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:8]


def _lacking(name: str, how: str) -> UsageError:
    return UsageError(
        f"the cluster engine needs cluster.{name}, which is not set",
        op="open",
        subject=f"cluster.{name}",
        hint=f"set it in the settings file or the environment: {how}",
    )
