"""The index backends that contract suites run over, by name.

Backends on servers need their server's address (`servers.py`); Qdrant's runs in the driver's own memory without one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from index_worlds import HashedWords
from servers import ADDRESSES, address_of

from projections.backends.folder_generations import OpenBackend
from projections.backends.keyword.memory import MemoryKeywordBackend
from projections.backends.keyword.opensearch import OpenSearchKeywordBackend
from projections.backends.keyword.tantivy import TantivyKeywordBackend
from projections.backends.vector.flat import FlatVectorBackend
from projections.backends.vector.qdrant import IN_MEMORY, QdrantVectorBackend
from projections.backends.vector.qdrant_edge import QdrantEdgeVectorBackend
from projections.index_backend import IndexBackend

QDRANT_URL = os.environ.get(ADDRESSES["qdrant"], IN_MEMORY)
"""Where the suites run Qdrant's backend."""

QDRANT_RUNS = "in the driver's local mode" if QDRANT_URL == IN_MEMORY else f"on the server at {QDRANT_URL}"
"""What the summary of a run says of that."""


GRPC_PORT = int(os.environ.get("QDRANT_GRPC_PORT", "6334"))
"""Of that server."""


class ClearedOpenSearch(OpenSearchKeywordBackend):
    """Leaves nothing on the server when it is closed."""

    def close(self) -> None:
        self.drop()


class ClearedQdrant(QdrantVectorBackend):
    """Leaves nothing on the server when it is closed."""

    def close(self) -> None:
        if not self._is_closed:
            self._call("drop", lambda: self._client.delete_collection(self._name))
        super().close()


def _open_opensearch(directory: Path, generation: str, *, create: bool) -> OpenSearchKeywordBackend:
    url, prefix = address_of("opensearch"), prefix_of(directory)
    return ClearedOpenSearch(directory, generation, create=create, url=url, prefix=prefix)


def _open_qdrant(directory: Path, generation: str, *, create: bool) -> QdrantVectorBackend:
    prefix = prefix_of(directory)
    return ClearedQdrant(
        directory, generation, create=create, dim=HashedWords.dim, url=QDRANT_URL, prefix=prefix, grpc_port=GRPC_PORT
    )


def prefix_of(directory: Path) -> str:
    """What the names on a server begin with for an index in `directory`."""
    return f"refold-test-{sha256(str(directory).encode()).hexdigest()[:16]}"


_OPENED_BY: dict[str, OpenBackend[IndexBackend]] = {
    "flat": partial(FlatVectorBackend, dim=HashedWords.dim),
    "qdrant_edge": partial(QdrantEdgeVectorBackend, dim=HashedWords.dim),
    "memory": MemoryKeywordBackend,
    "opensearch": _open_opensearch,
    "qdrant": _open_qdrant,
    "tantivy": TantivyKeywordBackend,
}

INDEX_OF = {
    "flat": "vector",
    "qdrant": "vector",
    "qdrant_edge": "vector",
    "memory": "keyword",
    "opensearch": "keyword",
    "tantivy": "keyword",
}
"""The index that each backend is for."""

BACKENDS = sorted(INDEX_OF)

FORGETFUL_BACKENDS = ["flat", "memory"]
"""Those that are quick and keep nothing on disk."""

DURABLE_BACKENDS = ["qdrant_edge", "tantivy"]
"""Those that are still there when their process has gone."""

SERVED_BACKENDS = ["opensearch", "qdrant"]
"""Those that are on a server, whatever happens to the process or its folder."""


def open_backend_of(backend: str) -> OpenBackend[IndexBackend]:
    """What opens the backend of that name; skips the test if it needs a server that is not there."""
    return _OPENED_BY[backend]


class Libraries(dict[str, IndexBackend]):
    """Backends by name, each opened by `opens` and filled by it when it is first asked for."""

    def __init__(self, opens: Callable[[str], IndexBackend]) -> None:
        super().__init__()
        self._opens = opens

    def __missing__(self, name: str) -> IndexBackend:
        opened = self[name] = self._opens(name)
        return opened

    def close(self) -> None:
        """Close those that were opened."""
        for backend in self.values():
            backend.close()
