"""Generations of a vector index on a Qdrant server: a collection each, and an alias on the live one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

from projections.backends.folder import FolderMark
from projections.backends.generation_names import GenerationNames
from projections.backends.qdrant.backend import QdrantVectorBackend
from projections.backends.qdrant.errors import mapped_qdrant_errors
from projections.backends.qdrant.server import QdrantServer, described, mark_in
from schemas.extras import extra

with extra("qdrant"):
    from qdrant_client import QdrantClient, models

ResultT = TypeVar("ResultT")


class QdrantGenerations:
    """Generations in the collections ``{prefix}-vector-g<number>``; the alias ``{prefix}-vector`` is on the live one.

    Vectors are of length `dim`.
    """

    def __init__(self, server: QdrantServer, *, dim: int) -> None:
        self._server = server
        self._dim = dim
        self._names = GenerationNames(server.prefix, "vector")
        self.location = self._names.pattern

    def open(self, generation: str, *, create: bool) -> QdrantVectorBackend:
        """The collection of `generation`; see the port, and for errors the backend."""
        return QdrantVectorBackend(generation, self._server, create=create, dim=self._dim)

    def drop_others(self, spared: str | None) -> None:
        """Delete every collection of this index but that of `spared`; those that refold did not make stay.

        Raises:
            UnreachableError: the server does not answer.
        """
        with self._connected() as client:
            for collection in self._call("list generations", client.get_collections).collections:
                name = collection.name
                if self._names.is_other(name, spared) and self._names.is_ours(self._mark(client, name)):
                    self._call("drop", partial(client.delete_collection, name))

    def point_alias(self, generation: str) -> None:
        """Have the alias name the collection of `generation`; readers never find none, or two.

        To make an alias that stands elsewhere moves it. Deleting it first, in the same call, would lose it where there
        is no such collection: the server does not undo what it did before it fails.
        """
        alias, name = self._names.alias, self._names.of(generation)
        with self._connected() as client:
            stands = {
                one.alias_name: one.collection_name for one in self._call("read alias", client.get_aliases).aliases
            }
            if stands.get(alias) == name:
                return
            create = models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=name, alias_name=alias)
            )
            self._call("point alias", partial(client.update_collection_aliases, [create]), generation)

    def _mark(self, client: QdrantClient, name: str) -> Mapping[str, Any] | None:
        info = self._call("list generations", partial(described, client, name))
        return None if info is None else mark_in(info)

    @contextmanager
    def _connected(self) -> Iterator[QdrantClient]:
        with closing(self._call("connect", self._server.connect)) as client:
            yield client

    def _call(self, op: str, call: Callable[[], ResultT], generation: str = "any") -> ResultT:
        mark = FolderMark(index=self._names.index, generation=generation, backend="qdrant", layout="")
        mapped_errors = partial(mapped_qdrant_errors, op, mark, self._names.alias, opens=True)
        return self._server.retries.run(call, mapped_errors=mapped_errors)
