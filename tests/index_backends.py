"""The index backends that contract suites run over, by name.

Backends on servers need their server's address (`servers.py`); Qdrant's runs in the driver's own memory without one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from index_worlds import HashedWords
from servers import address_of

from projections.backends.keyword.memory import MemoryKeywordBackend
from projections.backends.keyword.opensearch import OpenSearchKeywordBackend
from projections.backends.keyword.tantivy import TantivyKeywordBackend
from projections.backends.vector.flat import FlatVectorBackend
from projections.backends.vector.qdrant_edge import QdrantEdgeVectorBackend
from projections.index_backend import IndexBackend
from projections.index_home import OpenBackend


class Dropped(OpenSearchKeywordBackend):
    """Leaves nothing on the server when it is closed."""

    def close(self) -> None:
        self.drop()


def open_opensearch(directory: Path, generation: str, *, create: bool, keeps: bool = False) -> OpenSearchKeywordBackend:
    """An index of its own for each directory; gone once closed unless it `keeps`."""
    opens = OpenSearchKeywordBackend if keeps else Dropped
    return opens(directory, generation, create=create, url=address_of("opensearch"), prefix=prefix_of(directory))


def prefix_of(directory: Path) -> str:
    """What the names on a server begin with for an index in `directory`."""
    return f"refold-test-{sha256(str(directory).encode()).hexdigest()[:16]}"


_OPENED_BY: dict[str, OpenBackend[IndexBackend]] = {
    "flat": partial(FlatVectorBackend, dim=HashedWords.dim),
    "qdrant_edge": partial(QdrantEdgeVectorBackend, dim=HashedWords.dim),
    "memory": MemoryKeywordBackend,
    "opensearch": open_opensearch,
    "tantivy": TantivyKeywordBackend,
}

INDEX_OF = {
    "flat": "vector",
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

SERVED_BACKENDS = ["opensearch"]
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
