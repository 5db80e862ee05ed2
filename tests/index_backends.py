"""The index backends that contract suites run over, by name."""

from __future__ import annotations

from functools import partial

from index_worlds import HashedWords

from projections.backends.keyword.memory import MemoryKeywordBackend
from projections.backends.keyword.tantivy import TantivyKeywordBackend
from projections.backends.vector.flat import FlatVectorBackend
from projections.backends.vector.qdrant_edge import QdrantEdgeVectorBackend
from projections.index_backend import IndexBackend
from projections.index_home import OpenBackend

_OPENED_BY: dict[str, OpenBackend[IndexBackend]] = {
    "flat": partial(FlatVectorBackend, dim=HashedWords.dim),
    "qdrant_edge": partial(QdrantEdgeVectorBackend, dim=HashedWords.dim),
    "memory": MemoryKeywordBackend,
    "tantivy": TantivyKeywordBackend,
}

INDEX_OF = {"flat": "vector", "qdrant_edge": "vector", "memory": "keyword", "tantivy": "keyword"}
"""The index that each backend is for."""

BACKENDS = sorted(INDEX_OF)

FORGETFUL_BACKENDS = ["flat", "memory"]
"""Those that are quick and keep nothing on disk."""

DURABLE_BACKENDS = ["qdrant_edge", "tantivy"]
"""Those that are still there when their process has gone."""


def open_backend_of(backend: str) -> OpenBackend[IndexBackend]:
    """What opens the backend of that name."""
    return _OPENED_BY[backend]
