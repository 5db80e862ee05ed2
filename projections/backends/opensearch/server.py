"""An OpenSearch server: where it is, how patiently it is asked, and a connection to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from projections.backends.opensearch.index import MARK, Json
from projections.backends.server_calls import SEARCH_TIMEOUT_S, Retries
from schemas.errors import TransientError
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import OpenSearch

TIMEOUT_S = 30.0
"""For an answer; a refresh of a large bulk takes a few seconds on a busy server."""

IF_THERE = {"ignore_unavailable": "true"}
"""Deleting is tried again after a timeout, when it may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSearchServer:
    """Where the indexes of one pipeline are.

    Attributes:
        url: Of the server, with user and password if it asks for them.
        prefix: What the names of this pipeline's indexes begin with, lower-case; no others on this server may.
        search_timeout_s: For each request of a search, and for opening.
        retries: How long to wait for a server that is busy.
    """

    url: str
    prefix: str
    search_timeout_s: float = SEARCH_TIMEOUT_S
    retries: Retries = field(default_factory=Retries)


def connect(url: str) -> OpenSearch:
    """The driver for the server at `url`, which may hold user and password; it connects at its first call."""
    return OpenSearch([url], timeout=TIMEOUT_S, max_retries=0, http_compress=True)


def marks(client: OpenSearch, pattern: str, *, timeout_s: float = TIMEOUT_S) -> Mapping[str, Json]:
    """The marks of the indexes whose names match `pattern`, by name: empty where an index has none."""
    options = {"ignore_unavailable": "true", "expand_wildcards": "open,closed", "request_timeout": timeout_s}
    answer = client.indices.get_mapping(index=pattern, params=options)
    return {name: index["mappings"].get("_meta", {}).get(MARK, {}) for name, index in answer.items()}


def whole(answer: Json, op: str, name: str) -> Json:
    """`answer`, unless some of the index could not be asked: it would pass for one that found less.

    Raises:
        TransientError: a shard failed or was given up; another copy of it may answer.
    """
    failed = answer.get("_shards", {}).get("failed", 0)
    if failed or answer.get("timed_out"):
        raise TransientError(f"OpenSearch: {failed} shards of the index failed", op=op, subject=name, hint="try again")
    return answer
