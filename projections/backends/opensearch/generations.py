"""Generations of a keyword index on an OpenSearch server: an index each, and an alias on the live one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TypeVar

from projections.backends.folder import FolderMark
from projections.backends.generation_names import GenerationNames
from projections.backends.opensearch.backend import OpenSearchKeywordBackend
from projections.backends.opensearch.errors import mapped_opensearch_errors
from projections.backends.opensearch.server import IF_THERE, OpenSearchServer, connect, marks
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import OpenSearch

ResultT = TypeVar("ResultT")


class OpenSearchGenerations:
    """Generations in the indexes ``{prefix}-keyword-g<number>``; the alias ``{prefix}-keyword`` is on the live one."""

    def __init__(self, server: OpenSearchServer) -> None:
        self._server = server
        self._names = GenerationNames(server.prefix, "keyword")
        self.location = self._names.pattern

    def open(self, generation: str, *, create: bool) -> OpenSearchKeywordBackend:
        """The index of `generation`; see the port, and for errors the backend."""
        return OpenSearchKeywordBackend(generation, self._server, create=create)

    def drop_others(self, spared: str | None) -> None:
        """Delete every index of this kind but that of `spared`; those that refold did not make stay.

        Raises:
            UnreachableError: the server does not answer.
        """
        with self._connected() as client:
            found = self._call("list generations", partial(marks, client, self._names.pattern))
            for name, mark in found.items():
                if self._names.is_other(name, spared) and self._names.is_ours(mark):
                    self._call("drop", partial(client.indices.delete, index=name, params=IF_THERE))

    def point_alias(self, generation: str) -> None:
        """Have the alias name the index of `generation`, in one step; readers never find none, or two."""
        alias, name = self._names.alias, self._names.of(generation)
        with self._connected() as client:
            stands = self._call("read alias", partial(_indexes_of, client, alias))
            if stands == [name]:
                return
            others = [{"index": other, "alias": alias, "must_exist": False} for other in stands if other != name]
            steps = [{"remove": other} for other in others]
            steps.append({"add": {"index": name, "alias": alias}})
            self._call("point alias", partial(client.indices.update_aliases, body={"actions": steps}), generation)

    @contextmanager
    def _connected(self) -> Iterator[OpenSearch]:
        with closing(connect(self._server.url)) as client:
            yield client

    def _call(self, op: str, call: Callable[[], ResultT], generation: str = "any") -> ResultT:
        mark = FolderMark(index=self._names.index, generation=generation, backend="opensearch", layout="")
        mapped_errors = partial(mapped_opensearch_errors, op, mark, self._names.alias, opens=True)
        return self._server.retries.run(call, mapped_errors=mapped_errors)


def _indexes_of(client: OpenSearch, alias: str) -> list[str]:
    """The indexes that `alias` names; a pattern finds none without an error."""
    answer = client.indices.get_alias(name=f"{alias}*")
    return [name for name, index in answer.items() if alias in index["aliases"]]
