"""The collection of a generation on a Qdrant server: made, looked at, called, with errors in refold's own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from projections.backends.folder import FolderMark, check_ours, foreign
from projections.backends.generation_names import GenerationNames
from projections.backends.qdrant.errors import mapped_qdrant_errors
from projections.backends.qdrant.filter import PAYLOAD_INDEXES
from projections.backends.qdrant.server import (
    IN_MEMORY,
    MARK,
    REPLAY_POLL_S,
    QdrantServer,
    described,
    mark_in,
    unreplayed,
)
from projections.backends.server_calls import PATIENCE_S, Looks
from schemas.errors import TransientError, UsageError
from schemas.extras import extra

with extra("qdrant"):
    from qdrant_client import QdrantClient, models

ResultT = TypeVar("ResultT")


class QdrantGeneration:
    """The collection ``{prefix}-vector-{generation}``, not opened yet: see `create` and `check`.

    Attributes:
        name: Its name.
        mark: What its metadata must say.
        client: For writing and for reading much.
        reader: For what a search asks; gives up sooner.
        is_local: Whether it is in the driver's local mode, which no other process can reach.
    """

    def __init__(self, generation: str, server: QdrantServer, *, dim: int) -> None:
        self.name = GenerationNames(server.prefix, "vector").of(generation)
        self.mark = FolderMark(index="vector", generation=generation, backend="qdrant", layout=f"1 dim={dim}")
        self.is_local = server.url == IN_MEMORY
        self._dim = dim
        self._retries = server.retries
        self._search_timeout_s = server.search_timeout_s
        self._looks = Looks(monotonic=server.retries.monotonic)
        self._lock: AbstractContextManager[Any] = Lock() if self.is_local else nullcontext()
        self.client: QdrantClient = self.call("open index", server.connect, opens=True)
        self.reader = self.client if self.is_local else server.connect(timeout_s=server.search_timeout_s)

    def create(self) -> None:
        """Begin an empty one; an earlier one of refold's of that name is deleted.

        Raises:
            UsageError: there is one that is not refold's; or the server keeps no metadata.
        """
        found = self._found_mark()
        if found is not None:
            check_ours(found, self.name, kind="collection", kinds="collections")
            self.call("create index", lambda: self.client.delete_collection(self.name))
        self.call("create index", self._make)
        if self._found_mark() != asdict(self.mark):
            raise UsageError(
                "this Qdrant does not keep a collection's metadata",
                op="create index",
                subject=self.name,
                hint="run Qdrant 1.16 or newer",
            )
        self._index_payloads()

    def _make(self) -> None:
        self.client.create_collection(
            self.name,
            # Dot leaves vectors as they are, where Cosine would write them scaled: the digest is of what is stored.
            vectors_config=models.VectorParams(size=self._dim, distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(m=0),
            on_disk_payload=True,
            metadata={MARK: asdict(self.mark)},
        )

    def check(self) -> None:
        """Raise IndexForeign unless it is there and holds this generation."""
        found = self._found_mark()
        if found is None:
            raise foreign(self.mark, self.name, "there is no collection")
        self._compare(found)

    def _compare(self, found: Mapping[str, Any]) -> None:
        if found != asdict(self.mark):
            raise foreign(self.mark, self.name, f"there is {found or 'a collection of something else'}")

    def _found_mark(self) -> dict[str, Any] | None:
        """The mark of the collection of this name: empty where it has none, None where there is no collection."""
        look = partial(described, self.reader, self.name)
        info = self.call("open index", look, opens=True, within_s=self._search_timeout_s)
        return None if info is None else mark_in(info)

    def check_mark(self) -> None:
        """Raise unless it is the one that was opened; see the port.

        Missing payload indexes are made: the process that created the collection may have died before it made them.
        """
        if self.is_local:
            return
        info = self._looked("write", self.client)
        if PAYLOAD_INDEXES.keys() - info.payload_schema.keys():
            self._index_payloads()

    def look_again(self, op: str) -> None:
        """Before reading, if it is time: the collection is the one that was opened, and all of it can be seen.

        A server that was started again answers before it has replayed its log; it says how much is to come.
        """
        if not self._looks.is_due or self.is_local:
            return
        ends_s = self._retries.monotonic() + self._search_timeout_s
        while left := unreplayed(self._looked(op, self.reader)):
            if self._retries.monotonic() >= ends_s:
                raise TransientError(
                    f"Qdrant replays its log: {left} operations are to come",
                    op=op,
                    subject=self.name,
                    hint="try again",
                )
            self._retries.sleep(REPLAY_POLL_S)
        self._looks.note()

    def _looked(self, op: str, client: QdrantClient) -> models.CollectionInfo:
        info = self.call(op, partial(client.get_collection, self.name), within_s=self._search_timeout_s)
        self._compare(mark_in(info))
        return info

    def _index_payloads(self) -> None:
        """Have what filters look at indexed."""
        if self.is_local:
            return
        for field, kind in PAYLOAD_INDEXES.items():
            make = partial(self.client.create_payload_index, self.name, field, kind, wait=True)
            self.call("create index", make)

    def asked(self, ask: Callable[[], ResultT]) -> ResultT:
        """What a search asks the reader."""
        return self.call("search", ask, within_s=self._search_timeout_s)

    def call(
        self, op: str, call: Callable[[], ResultT], *, opens: bool = False, within_s: float = PATIENCE_S
    ) -> ResultT:
        """What `call` returns, tried again while the server is busy, though not later than `within_s`."""
        try:
            return self._retries.run(call, mapped_errors=partial(self._calling, op, opens=opens), within_s=within_s)
        except TransientError:
            self._looks.expire()  # the server may have been started again by the next call
            raise

    @contextmanager
    def _calling(self, op: str, *, opens: bool) -> Iterator[None]:
        with self._lock, mapped_qdrant_errors(op, self.mark, self.name, opens=opens):
            yield

    def delete(self) -> None:
        """Delete it from the server."""
        self.call("drop", lambda: self.client.delete_collection(self.name))

    def close(self) -> None:
        """Let go of connections."""
        for client in (self.client, self.reader):
            self.call("close", client.close)
