"""A log, its artifacts and the indexes over them, for tests that tell a short history and look at what is served."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from projections.index.backend import IndexBackend, IndexEntry, ScoredChunk
from projections.index.books.books import open_index_database
from projections.index.books.tables import INDEX_TABLES
from projections.index.changes import KEYWORD, VECTOR, IndexChange, KeywordIndex, VectorIndex
from projections.index.generation_store import GenerationStore
from projections.index.view.home import IndexHome
from projections.index.view.steps import Fault, OnPoison, no_fault
from projections.index.view.view import IndexView
from projections.search.visible_hits import DocumentsMoved, visible_hits
from schemas.events import (
    ArtifactRef,
    DocumentCompleted,
    DocumentRemoved,
    Finding,
    Meta,
    PipelineEvent,
    RemovalReason,
    RepairRequested,
    VectorsRef,
)
from schemas.ids import DocumentId, EventId, chunk_ids_of, document_id_of, event_id_of
from schemas.positions import Position
from streams.artifact_stores.memory import MemoryArtifacts
from streams.log import Draft
from streams.logs.memory import MemoryLog
from streams.stages.contents import Chunk, encode_chunks, encode_vectors
from tests.servers.sql_views import DATABASES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONGEST_QUERY_S = 30.0

BOOKS: dict[str, Callable[[Path], Engine]] = {
    "sqlite": lambda folder: open_index_database(folder / "indexes.sqlite"),
    "postgres": DATABASES["postgres"],
}
"""The database that holds an index's bookkeeping, the same for the same folder."""


OpenStore = Callable[[Path], GenerationStore[IndexBackend]]
"""Opens the store of the generations of the index in a directory."""


class HashedWords:
    """An embedder that adds a fixed direction per word: texts with the same words point the same way."""

    name = "hashed-words"
    dim = 32
    fingerprint = sha256(b"hashed-words").hexdigest()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`."""
        sums = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                seed = int.from_bytes(sha256(word.encode()).digest()[:4])
                sums[row] += np.random.default_rng(seed).standard_normal(self.dim, np.float32)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        np.divide(sums, lengths, out=sums, where=lengths > 0)
        return sums


class Clock:
    """Goes on by a millisecond whenever it is read, so that no two moments are the same."""

    def __init__(self) -> None:
        self._now = NOON

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Go on by that much at once."""
        self._now += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Stored:
    """The artifacts of a version."""

    chunks: ArtifactRef
    vectors: ArtifactRef
    chunk_count: int


class World:
    """A corpus as a slot would write it: documents are completed and removed, `log` and `artifacts` hold the rest."""

    def __init__(self, *, partitions: int = 1, books: str = "sqlite") -> None:
        self.books = books
        self.clock = Clock()
        self.log = MemoryLog(partitions)
        self.artifacts = MemoryArtifacts(self.clock)
        self.embedder = HashedWords()
        self._sequences: dict[DocumentId, int] = {}
        self._versions: dict[DocumentId, int] = {}

    def store(self, texts: Sequence[str]) -> Stored:
        """Keep the artifacts of a version whose chunks are `texts`."""
        chunks, start = [], 0
        for ordinal, text in enumerate(texts):
            digest = sha256(text.encode()).hexdigest()
            chunks.append(Chunk(ordinal, start, start + len(text), 1, text, digest))
            start += len(text)
        blobs = [encode_chunks(chunks), encode_vectors(self.embedder.embed(texts))]
        chunks_ref, vectors_ref = self.artifacts.put(blobs)
        return Stored(chunks_ref, vectors_ref, len(texts))

    def complete(
        self,
        uri: str,
        texts: Sequence[str],
        *,
        stored: Stored | None = None,
        embedder: str = HashedWords.name,
        metadata: Mapping[str, str] | None = None,
    ) -> DocumentCompleted:
        """The document gets its next version, with a chunk for each of `texts`."""
        stored = stored or self.store(texts)
        document_id = document_id_of(uri)
        self._versions[document_id] = self._versions.get(document_id, 0) + 1
        completed = DocumentCompleted(
            meta=self._next_meta(document_id),
            document_id=document_id,
            request_id=_request_of(document_id),
            version=self._versions[document_id],
            uri=uri,
            source_root="folder:docs",
            finding=Finding(uri=uri, size_bytes=10, modified_at_ns=1),
            chunks=stored.chunks,
            vectors=(VectorsRef(embedder=embedder, dim=HashedWords.dim, ref=stored.vectors),),
            chunk_count=stored.chunk_count,
            media_type="text/plain",
            title=uri.rpartition("/")[2],
            metadata=metadata or {},
        )
        self.append("documents", document_id, completed)
        return completed

    def remove(self, uri: str) -> DocumentRemoved:
        """The document leaves."""
        document_id = document_id_of(uri)
        removed = DocumentRemoved(
            meta=self._next_meta(document_id),
            document_id=document_id,
            request_id=_request_of(document_id),
            version=self._versions[document_id],
            reason=RemovalReason.REQUESTED,
        )
        self.append("documents", document_id, removed)
        return removed

    def ask_repair(self, index: str, uris: Sequence[str]) -> None:
        """Somebody asks for a repair."""
        meta = Meta(event_id=event_id_of(str(self.clock()), "RepairRequested"), occurred_at=NOON, pipeline_id="run-1")
        document_ids = [document_id_of(uri) for uri in uris]
        self.append("operations", index, RepairRequested(meta=meta, index=index, document_ids=document_ids))

    def append(self, topic: str, key: str, event: PipelineEvent) -> None:
        """Write one event."""
        self.log.append(None, [Draft(topic, key, event)])

    def _next_meta(self, document_id: DocumentId) -> Meta:
        self._sequences[document_id] = self._sequences.get(document_id, 0) + 1
        sequence = self._sequences[document_id]
        event_id = event_id_of(document_id, "answer", sequence)
        return Meta(event_id=event_id, occurred_at=NOON, pipeline_id="run-1", sequence=sequence)


class Index:
    """One index over a world: projects on demand, and says what it serves."""

    def __init__(
        self,
        world: World,
        folder: Path,
        projection: VectorIndex | KeywordIndex,
        open_store: OpenStore,
        *,
        artifacts: MemoryArtifacts | None = None,
        fault: Fault = no_fault,
    ) -> None:
        self.world = world
        self.projection = projection
        self.directory = folder / projection.name
        folder.mkdir(exist_ok=True)
        self._engine = BOOKS[world.books](folder)
        self.view: IndexView[IndexBackend] = IndexView(
            IndexHome(
                projection.spec,
                log_id="the log of this world",
                store=open_store(self.directory),
                database=self._engine,
            ),
            artifacts=artifacts or world.artifacts,
            clock=world.clock,
            longest_query_s=LONGEST_QUERY_S,
            fault=fault,
        )

    def catch_up(self, *, on_poison: OnPoison = OnPoison.PARK) -> None:
        """Apply all that the log holds beyond the view's position, batch by batch."""
        for changes, expected, at in self.batches(self.view.position()):
            self.view.apply(changes, expected, at, on_poison=on_poison)

    def batches(self, after: Position) -> list[tuple[Sequence[IndexChange], Position, Position]]:
        """What the log holds after `after`: changes, position before, position after."""
        log = self.world.log
        partitions = [tp for topic in self.projection.topics for tp in log.partitions(topic)]
        batches: list[tuple[Sequence[IndexChange], Position, Position]] = []
        for batch in log.read(partitions, after):
            changes = [change for recorded in batch.recorded for change in self.projection.changes(recorded)]
            batches.append((changes, after, batch.next_position))
            after = batch.next_position
        return batches

    def collect_all(self) -> int:
        """Let enough time pass for all garbage to be collected, and collect it; how many chunks that was."""
        self.world.clock.pass_time(LONGEST_QUERY_S + 1)
        collected = 0
        while some := self.view.collect_garbage():
            collected += some
        return collected

    def entries(self) -> dict[str, IndexEntry]:
        """What is really there, by chunk id."""
        return {entry.chunk_id: entry for entry in self.view.scan()}

    def served_chunks(self, uri: str) -> int | None:
        """How many chunks of the document's served version are really there; None if nothing is served."""
        live = self.served_version(uri)
        if live is None:
            return None
        version, chunk_count = live
        return sum(one in self.entries() for one in chunk_ids_of(document_id_of(uri), version, chunk_count))

    def served_version(self, uri: str) -> tuple[int, int] | None:
        """The served version and its chunk count."""
        served = self.view.served([document_id_of(uri)]).get(document_id_of(uri))
        return (served.live.version, served.live.chunk_count) if served and served.live else None

    def find(self, words: str, *, limit: int) -> list[DocumentId]:
        """The documents of the hits for `words`, as a search may show them."""
        vector = self.world.embedder.embed([words])[0]

        def ask(backend: Any, count: int) -> Sequence[ScoredChunk]:
            return backend.search(vector if self.projection.spec.dim else words, limit=count)  # type: ignore[no-any-return]

        while True:
            with suppress(DocumentsMoved):
                found = visible_hits(self.view, ask, wanted=limit)
                return [hit.document_id for hit in found.hits]

    def begin_anew(self) -> None:
        """Take the place of the generation there is with a new, empty one that is not live, as a cluster's rebuild."""
        self.view._open(self.view._home.renewed)

    def close(self) -> None:
        """Let go of the files, as a process that ends in good order."""
        self.view.close()
        self._engine.dispose()


def lose_books(world: World, folder: Path) -> None:
    """Take the bookkeeping of the indexes in `folder` away."""
    engine = BOOKS[world.books](folder)
    INDEX_TABLES.drop_all(engine)
    engine.dispose()


def texts_of(uri: str, version: int, count: int) -> list[str]:
    """`count` different texts that all say `uri`'s last word and the version."""
    name = uri.rpartition("/")[2]
    return [f"{name} paragraph {ordinal} of edition {version}" for ordinal in range(count)]


def projection_of(index: str) -> VectorIndex | KeywordIndex:
    """The projection of the index called `index`."""
    if index == KEYWORD:
        return KeywordIndex()
    assert index == VECTOR
    return VectorIndex(embedder=HashedWords.name, dim=HashedWords.dim)


def _request_of(document_id: DocumentId) -> EventId:
    return event_id_of(document_id, "DocumentRequested")
