"""The servers that some tests need: found by an address in the environment, else the test is skipped and says so.

`REFOLD_REQUIRE=kafka,postgres` makes the lack of one of these a failure instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

ADDRESSES: Mapping[str, str] = {
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "registry": "SCHEMA_REGISTRY_URL",
    "opensearch": "OPENSEARCH_URL",
    "postgres": "POSTGRES_URL",
    "qdrant": "QDRANT_URL",
}
"""The variable that holds each server's address, as the clients of that server know it."""


def address_of(server: str) -> str:
    """Where `server` is; skips the test where that is not known, or fails it where it is required."""
    variable = ADDRESSES[server]
    address = os.environ.get(variable)
    if address:
        return address
    reason = f"needs {server}: set {variable}"
    if server in os.environ.get("REFOLD_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
