"""A Qdrant server: where it is, how patiently it is asked, and a connection to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from projections.backends.server_calls import SEARCH_TIMEOUT_S, Retries
from schemas.extras import extra

with extra("qdrant"):
    from qdrant_client import QdrantClient, models

IN_MEMORY = ":memory:"
"""The `url` of what goes with its connection: the driver's local mode, one process and one call at a time."""

GRPC_PORT = 6334
"""Where servers listen for gRPC, as a rule."""

MARK = "refold"
"""Where in a collection's metadata it is said what it is."""

TIMEOUT_S = 30
"""For an answer to what is written; the driver takes whole seconds."""

CHANNEL_OPTIONS: Mapping[str, int] = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1_000,  # so long may an attempt take
    "grpc.max_reconnect_backoff_ms": 1_000,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
}
"""A server that comes back is noticed within a second, where gRPC's own waits double up to two minutes; one that went
without a word is given up while a call waits for it, where the system would wait a quarter of an hour."""

REPLAY_POLL_S = 0.05
"""How often a server that replays its log is asked how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantServer:
    """Where the collections of one pipeline are.

    Attributes:
        url: Of the server, or IN_MEMORY.
        prefix: What the names of this pipeline's collections begin with; no others on this server may.
        api_key: If the server asks for one.
        grpc_port: Of the server, which is spoken to by gRPC; None for HTTP only.
        search_timeout_s: For each request of a search, and for opening; in whole seconds.
        retries: How long to wait for a server that is busy.
    """

    url: str
    prefix: str
    api_key: str | None = None
    grpc_port: int | None = GRPC_PORT
    search_timeout_s: float = SEARCH_TIMEOUT_S
    retries: Retries = field(default_factory=Retries)

    def connect(self, *, timeout_s: float = TIMEOUT_S) -> QdrantClient:
        """The driver for it; see `connect`."""
        return connect(self.url, api_key=self.api_key, grpc_port=self.grpc_port, timeout_s=timeout_s)


def connect(url: str, *, api_key: str | None, grpc_port: int | None, timeout_s: float = TIMEOUT_S) -> QdrantClient:
    """The driver for the server at `url`, by HTTP only if `grpc_port` is None; it connects at its first call."""
    if url == IN_MEMORY:
        return QdrantClient(IN_MEMORY)
    return QdrantClient(
        url=url,
        api_key=api_key,
        prefer_grpc=grpc_port is not None,
        grpc_port=grpc_port or 0,
        grpc_options=dict(CHANNEL_OPTIONS),
        timeout=math.ceil(timeout_s),
        check_compatibility=False,  # it would connect, and print a warning; the mark says what matters
    )


def described(client: QdrantClient, name: str) -> models.CollectionInfo | None:
    """What the server says of the collection `name`; None where there is no collection."""
    return client.get_collection(name) if client.collection_exists(name) else None


def mark_in(info: models.CollectionInfo) -> dict[str, Any]:
    """The mark of a collection: empty where it has none."""
    return cast("dict[str, Any]", (info.config.metadata or {}).get(MARK, {}))


def unreplayed(info: models.CollectionInfo) -> int:
    """Operations that the server has acknowledged and does not show yet; 0 where it does not report them (before 1.18).

    After a crash a server of 1.18 answers before it has replayed its log.
    """
    queue = info.update_queue
    return 0 if queue is None else queue.length
