"""A connection to an OpenSearch server, and what its indexes say that they are."""

from __future__ import annotations

from collections.abc import Mapping

from projections.backends.keyword.opensearch_index import MARK, Json
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import OpenSearch

TIMEOUT_S = 30.0
"""For an answer; a refresh of a large bulk takes a few seconds on a busy server."""


def connect(url: str) -> OpenSearch:
    """The driver for the server at `url`, which may hold user and password; it connects at its first call."""
    return OpenSearch([url], timeout=TIMEOUT_S, max_retries=0, http_compress=True)


def marks(client: OpenSearch, pattern: str) -> Mapping[str, Json]:
    """The marks of the indexes whose names match `pattern`, by name: empty where an index has none."""
    options = {"ignore_unavailable": "true", "expand_wildcards": "open,closed"}
    answer = client.indices.get_mapping(index=pattern, params=options)
    return {name: index["mappings"].get("_meta", {}).get(MARK, {}) for name, index in answer.items()}
