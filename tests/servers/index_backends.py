"""The index backends that contract suites run over, by name, and the stores of their generations.

Backends on servers need their server's address (`run.py`). Without a Qdrant server its backend runs twice: in the
driver's own memory, and over HTTP on a stand-in (`qdrant.py`).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from projections.backends.folder import FolderGenerations
from projections.backends.memory.vectors import FlatVectorBackend
from projections.backends.memory.words import MemoryKeywordBackend
from projections.backends.opensearch.backend import OpenSearchKeywordBackend
from projections.backends.opensearch.generations import OpenSearchGenerations
from projections.backends.opensearch.server import OpenSearchServer
from projections.backends.qdrant.backend import QdrantVectorBackend
from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.qdrant.generations import QdrantGenerations
from projections.backends.qdrant.server import IN_MEMORY, QdrantServer
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.index.backend import IndexBackend
from tests.servers.leftovers import drop_collections, drop_indexes
from tests.servers.qdrant import qdrant_over_http
from tests.servers.run import ADDRESSES, RUN, address_of, qdrant_grpc_port
from tests.worlds.index import HashedWords, OpenStore

QDRANT_URL = os.environ.get(ADDRESSES["qdrant"])
"""Of a real server, if there is one."""

QDRANT_RUNS = (
    f"on the server at {QDRANT_URL}, by {'HTTP' if qdrant_grpc_port() is None else 'gRPC'}"
    if QDRANT_URL
    else "qdrant-client's local mode, in process and behind HTTP (not a Qdrant server)"
)
"""What the summary of a run says of that."""

PREFIX = f"refold-test-{RUN}-"
"""Of the names of all that this run makes on index servers."""

_named: list[str] = []

SERVED_QDRANT = "qdrant" if QDRANT_URL else "qdrant-http"
"""The name of the Qdrant backend that outlives its process."""


class ClearedOpenSearch(OpenSearchKeywordBackend):
    """Leaves nothing on the server when it is closed."""

    def close(self) -> None:
        self.drop()


class ClearedQdrant(QdrantVectorBackend):
    """Leaves nothing on the server when it is closed."""

    def close(self) -> None:
        if not self._is_closed:
            self._there.delete()
        super().close()


@cache
def qdrant_address() -> str:
    """Of a Qdrant server, or of a stand-in that ends with this process."""
    if QDRANT_URL:
        return QDRANT_URL
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(qdrant_over_http())


def on_qdrant(directory: Path) -> QdrantServer:
    """How the server is reached, and what an index in `directory` is called there."""
    return QdrantServer(url=qdrant_address(), grpc_port=qdrant_grpc_port(), prefix=prefix_of(directory))


def on_opensearch(directory: Path) -> OpenSearchServer:
    """How the server is reached, and what an index in `directory` is called there."""
    return OpenSearchServer(url=address_of("opensearch"), prefix=prefix_of(directory))


def prefix_of(directory: Path) -> str:
    """What the names on a server begin with for an index in `directory`."""
    _named.append(PREFIX)
    return f"{PREFIX}{sha256(str(directory).encode()).hexdigest()[:16]}"


def drop_leftovers() -> None:
    """Delete what this process has left on servers, if it has made anything there."""
    if not _named:
        return
    if QDRANT_URL:
        drop_collections(QDRANT_URL, PREFIX)
    if os.environ.get(ADDRESSES["opensearch"]):
        drop_indexes(os.environ[ADDRESSES["opensearch"]], PREFIX)


def _open_opensearch(directory: Path, generation: str, *, create: bool) -> OpenSearchKeywordBackend:
    return ClearedOpenSearch(generation, on_opensearch(directory), create=create)


def _open_qdrant(directory: Path, generation: str, *, create: bool) -> QdrantVectorBackend:
    return ClearedQdrant(generation, on_qdrant(directory), create=create, dim=HashedWords.dim)


def _open_local_qdrant(directory: Path, generation: str, *, create: bool) -> QdrantVectorBackend:
    server = QdrantServer(url=IN_MEMORY, prefix=prefix_of(directory))
    return QdrantVectorBackend(generation, server, create=create, dim=HashedWords.dim)


class ClearedOpenSearchGenerations(OpenSearchGenerations):
    """Leaves nothing on the server when a generation is closed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(on_opensearch(directory))
        self._directory = directory

    def open(self, generation: str, *, create: bool) -> OpenSearchKeywordBackend:
        return _open_opensearch(self._directory, generation, create=create)


class ClearedQdrantGenerations(QdrantGenerations):
    """Leaves nothing on the server when a generation is closed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(on_qdrant(directory), dim=HashedWords.dim)
        self._directory = directory

    def open(self, generation: str, *, create: bool) -> QdrantVectorBackend:
        return _open_qdrant(self._directory, generation, create=create)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A backend that contract suites run over.

    Attributes:
        index: ``vector`` or ``keyword``.
        kept_in: What it outlives. The suites of ``memory`` are quick, those of a ``folder`` kill the process and damage
            the files, those of a ``server`` cut it off and put strangers there.
        opened_by: Called with the folder and the name of a generation, and `create`; skips the test if a server is
            needed and cannot be had.
        store: The store of its generations for a directory, unless they are folders; skips the test likewise.
    """

    index: str
    kept_in: Literal["memory", "folder", "server"]
    opened_by: Callable[..., IndexBackend]
    store: OpenStore | None = None


_TESTED = {
    "flat": Tested(index="vector", kept_in="memory", opened_by=partial(FlatVectorBackend, dim=HashedWords.dim)),
    "memory": Tested(index="keyword", kept_in="memory", opened_by=MemoryKeywordBackend),
    "opensearch": Tested(
        index="keyword", kept_in="server", opened_by=_open_opensearch, store=ClearedOpenSearchGenerations
    ),
    "qdrant": Tested(index="vector", kept_in="memory", opened_by=_open_local_qdrant),
    "qdrant_edge": Tested(
        index="vector", kept_in="folder", opened_by=partial(QdrantEdgeVectorBackend, dim=HashedWords.dim)
    ),
    "tantivy": Tested(index="keyword", kept_in="folder", opened_by=TantivyKeywordBackend),
    SERVED_QDRANT: Tested(index="vector", kept_in="server", opened_by=_open_qdrant, store=ClearedQdrantGenerations),
}
"""By name; that of the last is also `qdrant` if there is a server, which takes the place of the one in memory."""

BACKENDS = sorted(_TESTED)

INDEX_OF = {name: tested.index for name, tested in _TESTED.items()}
"""The index that each backend is for."""


def _kept_in(place: str) -> list[str]:
    return [name for name in BACKENDS if _TESTED[name].kept_in == place]


FORGETFUL_BACKENDS = _kept_in("memory")
"""Those that are quick and keep nothing on disk."""

DURABLE_BACKENDS = _kept_in("folder")
"""Those that are still there when their process has gone."""

SERVED_BACKENDS = _kept_in("server")
"""Those that are on a server, whatever happens to the process or its folder."""


def open_backend_of(backend: str) -> Callable[..., IndexBackend]:
    """What opens the backend of that name; skips the test if it needs a server that is not there."""
    return _TESTED[backend].opened_by


def open_store_of(backend: str) -> OpenStore:
    """What opens the store of that backend's generations for a directory; skips the test likewise."""
    return _TESTED[backend].store or partial(FolderGenerations, open_backend=open_backend_of(backend))


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
