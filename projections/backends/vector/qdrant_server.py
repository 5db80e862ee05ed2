"""A connection to a Qdrant server, and what its collections say that they are."""

from __future__ import annotations

from typing import Any, cast

from schemas.extras import extra

with extra("qdrant"):
    from qdrant_client import QdrantClient

IN_MEMORY = ":memory:"
"""The `url` of what goes with its connection: the driver's local mode, one process and one call at a time."""

GRPC_PORT = 6334
"""Where servers listen for gRPC, as a rule."""

MARK = "refold"
"""Where in a collection's metadata it is said what it is."""

TIMEOUT_S = 30
"""For an answer; the driver takes whole seconds."""


def connect(url: str, *, api_key: str | None, grpc_port: int | None) -> QdrantClient:
    """The driver for the server at `url`, by HTTP only if `grpc_port` is None; it connects at its first call."""
    if url == IN_MEMORY:
        return QdrantClient(IN_MEMORY)
    return QdrantClient(
        url=url,
        api_key=api_key,
        prefer_grpc=grpc_port is not None,
        grpc_port=grpc_port or 0,
        timeout=TIMEOUT_S,
        check_compatibility=False,  # it would connect, and print a warning; the mark tells what matters
    )


def mark_of(client: QdrantClient, name: str) -> dict[str, Any] | None:
    """The mark of the collection `name`: empty where it has none, None where there is no collection."""
    if not client.collection_exists(name):
        return None
    metadata = client.get_collection(name).config.metadata
    return cast("dict[str, Any]", (metadata or {}).get(MARK, {}))
