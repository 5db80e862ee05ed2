"""Index servers as somebody else sees them who knows no refold, and does there as he likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from opensearchpy import OpenSearch
from qdrant_client import QdrantClient, models

from projections.backends.opensearch.generations import OpenSearchGenerations
from projections.backends.qdrant.generations import QdrantGenerations
from projections.index.generation_store import GenerationStore
from schemas.ids import ChunkId
from tests.servers.index_backends import on_opensearch, on_qdrant
from tests.worlds.index import HashedWords


class Server(Protocol):
    """A server as somebody else sees it who knows no refold."""

    alias: str

    def store(self) -> GenerationStore[Any]:
        """The store of the generations there."""

    def names(self) -> set[str]:
        """Of all collections or indexes that begin like those of this test."""

    def make(self, name: str) -> None:
        """Make an empty collection or index that bears no mark."""

    def drop(self, name: str) -> None:
        """Delete a collection or index."""

    def alias_stands_on(self) -> set[str]:
        """What the alias names."""

    def point(self, alias: str, name: str) -> None:
        """Have another alias name something."""

    def count(self, name: str) -> int:
        """How many chunks are found by a name or an alias."""

    def put(self, name: str, like: str) -> int:
        """Write entries of several odd kinds that a search for `like` finds; how many."""

    def strip(self, name: str, chunk_id: ChunkId) -> None:
        """Take from an entry what it says of itself."""

    def remake(self, name: str, *, dim: int) -> None:
        """Delete a collection or index and make another one of that name, that could be written to."""


class OpenSearchServer:
    """OpenSearch."""

    def __init__(self, folder: Path) -> None:
        self._where = on_opensearch(folder)
        self._client = OpenSearch([self._where.url])
        self.alias = f"{self._where.prefix}-keyword"

    def store(self) -> OpenSearchGenerations:
        return OpenSearchGenerations(self._where)

    def names(self) -> set[str]:
        return set(self._client.indices.get(index=f"{self._where.prefix}*"))

    def make(self, name: str) -> None:
        self._client.indices.create(index=name)

    def drop(self, name: str) -> None:
        self._client.indices.delete(index=name)

    def alias_stands_on(self) -> set[str]:
        found = self._client.indices.get_alias(index=f"{self._where.prefix}*")
        return {name for name, index in found.items() if self.alias in index["aliases"]}

    def point(self, alias: str, name: str) -> None:
        self._client.indices.put_alias(index=name, name=alias)

    def count(self, name: str) -> int:
        return int(self._client.count(index=name)["count"])

    def put(self, name: str, like: str) -> int:
        odd: list[tuple[str | None, dict[str, Any]]] = [
            ("17", {"text": like}),
            (None, {"text": like, "uri": "theirs"}),
            (str(uuid4()), {"text": like, "chunk_id": "theirs"}),
        ]
        for number, (entry_id, body) in enumerate(odd):
            self._client.index(index=name, id=entry_id, body=body, refresh=number == len(odd) - 1)
        return len(odd)

    def strip(self, name: str, chunk_id: ChunkId) -> None:
        self._client.index(index=name, id=chunk_id, body={"chunk_id": chunk_id}, refresh=True)

    def remake(self, name: str, *, dim: int) -> None:
        del dim
        self.drop(name)
        self._client.indices.create(index=name, body={"aliases": {f"{name}-writes": {}}})


class QdrantServer:
    """Qdrant."""

    def __init__(self, folder: Path) -> None:
        self._where = on_qdrant(folder)
        self._client = QdrantClient(self._where.url, check_compatibility=False)
        self.alias = f"{self._where.prefix}-vector"

    def store(self) -> QdrantGenerations:
        return QdrantGenerations(self._where, dim=HashedWords.dim)

    def names(self) -> set[str]:
        names = {one.name for one in self._client.get_collections().collections}
        return {name for name in names if name.startswith(self._where.prefix)}

    def make(self, name: str) -> None:
        vectors = models.VectorParams(size=HashedWords.dim, distance=models.Distance.DOT)
        self._client.create_collection(name, vectors_config=vectors)

    def drop(self, name: str) -> None:
        self._client.delete_collection(name)

    def alias_stands_on(self) -> set[str]:
        return {one.collection_name for one in self._client.get_aliases().aliases if one.alias_name == self.alias}

    def point(self, alias: str, name: str) -> None:
        create = models.CreateAlias(collection_name=name, alias_name=alias)
        self._client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])

    def count(self, name: str) -> int:
        return self._client.count(name).count

    def put(self, name: str, like: str) -> int:
        vector = HashedWords().embed([like])[0].tolist()
        odd: list[tuple[int | str, dict[str, Any] | None]] = [
            (17, None),
            (18, {"document": "theirs", "ordinal": 0}),
            (str(uuid4()), None),
            (str(uuid4()), {"document": {"uri": "theirs"}}),
        ]
        points = [models.PointStruct(id=entry_id, vector=vector, payload=payload) for entry_id, payload in odd]
        self._client.upsert(name, points, wait=True)
        return len(odd)

    def strip(self, name: str, chunk_id: ChunkId) -> None:
        (record,) = self._client.retrieve(name, [chunk_id], with_vectors=True)
        vector: Any = record.vector
        self._client.upsert(name, [models.PointStruct(id=chunk_id, vector=vector, payload=None)], wait=True)

    def remake(self, name: str, *, dim: int) -> None:
        self.drop(name)
        vectors = models.VectorParams(size=dim, distance=models.Distance.DOT)
        self._client.create_collection(name, vectors_config=vectors)


@contextmanager
def index_server(backend: str, folder: Path) -> Iterator[Server]:
    """The server of the backend of that name, with the names of an index in `folder`, of which nothing is left."""
    server: Server = OpenSearchServer(folder) if backend == "opensearch" else QdrantServer(folder)
    yield server
    for left in server.names():
        server.drop(left)
