"""The index of a generation on an OpenSearch server: made, looked at, called, with errors in refold's own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TypeVar

from projections.backends.folder import FolderMark, check_ours, foreign
from projections.backends.generation_names import GenerationNames
from projections.backends.opensearch.errors import mapped_opensearch_errors
from projections.backends.opensearch.index import LAYOUT, Json, index_body
from projections.backends.opensearch.server import IF_THERE, OpenSearchServer, connect, marks
from projections.backends.server_calls import PATIENCE_S, Looks
from projections.index.backend import IndexForeign
from schemas.errors import TransientError

ResultT = TypeVar("ResultT")


class OpenSearchGeneration:
    """The index ``{prefix}-keyword-{generation}``, not opened yet: see `create` and `check`.

    Attributes:
        name: Its name.
        alias: By which it is written to.
        mark: What its mapping's `_meta` must say.
    """

    def __init__(self, generation: str, server: OpenSearchServer) -> None:
        self.name = GenerationNames(server.prefix, "keyword").of(generation)
        self.alias = f"{self.name}-writes"
        self.mark = FolderMark(index="keyword", generation=generation, backend="opensearch", layout=LAYOUT)
        self.client = connect(server.url)
        self.search_timeout_s = server.search_timeout_s
        self._retries = server.retries
        self._looks = Looks(monotonic=server.retries.monotonic)

    def create(self) -> None:
        """Begin an empty one; an earlier one of refold's of that name is deleted.

        Raises:
            UsageError: there is one that is not refold's.
        """
        found = self._found_mark()
        if found is not None:
            check_ours(found, self.name, kind="index", kinds="indexes")
            self.call("create index", partial(self.client.indices.delete, index=self.name, params=IF_THERE))
        body = index_body(asdict(self.mark), alias=self.alias)
        self.call("create index", lambda: self.client.indices.create(index=self.name, body=body))

    def check(self, *, opens: bool = True) -> None:
        """Raise IndexForeign unless it is there and holds this generation."""
        found = self._found_mark(opens=opens)
        if found is None:
            raise self.lost()
        if found != asdict(self.mark):
            raise foreign(self.mark, self.name, f"there is {found or 'an index of something else'}")
        self._looks.note()

    def look_again(self) -> None:
        """Before reading, if it is time: the index is the one that was opened."""
        if self._looks.is_due:
            self.check(opens=False)

    def _found_mark(self, *, opens: bool = True) -> Json | None:
        """The mark of the index of this name: empty where it has none, None where there is no index."""
        timeout_s = self.search_timeout_s
        look = partial(marks, self.client, self.name, timeout_s=timeout_s)
        return self.call("open index", look, opens=opens, within_s=timeout_s).get(self.name)

    def call(
        self, op: str, call: Callable[[], ResultT], *, opens: bool = False, within_s: float = PATIENCE_S
    ) -> ResultT:
        """What `call` returns, tried again while the server is busy, though not later than `within_s`."""
        mapped_errors = partial(mapped_opensearch_errors, op, self.mark, self.name, opens=opens)
        try:
            return self._retries.run(call, mapped_errors=mapped_errors, within_s=within_s)
        except TransientError:
            self._looks.expire()  # what stands there may be another one by the next call
            raise

    def lost(self) -> IndexForeign:
        """The error that says that it is not there."""
        return foreign(self.mark, self.name, "there is no index")

    def delete(self) -> None:
        """Delete it from the server, if it is there."""
        self.call("drop", partial(self.client.indices.delete, index=self.name, params=IF_THERE))
