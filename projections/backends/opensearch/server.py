"""A connection to an OpenSearch server, and what its indexes say that they are."""

from __future__ import annotations

from collections.abc import Mapping

from projections.backends.opensearch.index import MARK, Json
from schemas.errors import TransientError
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import OpenSearch

TIMEOUT_S = 30.0
"""For an answer; a refresh of a large bulk takes a few seconds on a busy server."""

IF_THERE = {"ignore_unavailable": "true"}
"""Deleting is tried again after a timeout, when it may have happened."""


def whole(answer: Json, op: str, name: str) -> Json:
    """`answer`, unless some of the index could not be asked: it would pass for one that found less.

    Raises:
        TransientError: a shard failed or was given up; another copy of it may answer.
    """
    failed = answer.get("_shards", {}).get("failed", 0)
    if failed or answer.get("timed_out"):
        raise TransientError(f"OpenSearch: {failed} shards of the index failed", op=op, subject=name, hint="try again")
    return answer


def connect(url: str) -> OpenSearch:
    """The driver for the server at `url`, which may hold user and password; it connects at its first call."""
    return OpenSearch([url], timeout=TIMEOUT_S, max_retries=0, http_compress=True)


def marks(client: OpenSearch, pattern: str, *, timeout_s: float = TIMEOUT_S) -> Mapping[str, Json]:
    """The marks of the indexes whose names match `pattern`, by name: empty where an index has none."""
    options = {"ignore_unavailable": "true", "expand_wildcards": "open,closed", "request_timeout": timeout_s}
    answer = client.indices.get_mapping(index=pattern, params=options)
    return {name: index["mappings"].get("_meta", {}).get(MARK, {}) for name, index in answer.items()}
