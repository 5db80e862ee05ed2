"""How fast indexes are projected, searched, verified and rebuilt: `python tests/bench/bench_indexes.py [CHUNKS]`.

A corpus of made-up documents with ten chunks of about 1,000 characters each, its words as unevenly used as real ones;
vectors are random, for a search that compares them all does not mind. Everything else is what the program runs with:
SQLite log, local artifacts, qdrant-edge, tantivy, and the embedder for the queries.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import numpy as np

from projections.backends.folder import FolderGenerations
from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.consistency.rebuild import rebuild_index
from projections.consistency.verify import verify
from projections.fold.follower import Follower
from projections.index.backend import KeywordBackend, VectorBackend
from projections.index.books.books import open_index_database
from projections.index.changes import KeywordIndex, VectorIndex
from projections.index.view.home import IndexHome
from projections.index.view.view import IndexView
from projections.search.search import Search, SearchMode
from schemas.events import (
    DocumentCompleted,
    DocumentQueued,
    DocumentStarted,
    Finding,
    Meta,
    Stage,
    StageReport,
    VectorsRef,
)
from schemas.ids import document_id_of, event_id_of
from streams.artifact_stores.local import LocalArtifacts
from streams.log import Draft, SlotNumber
from streams.logs.sqlite.log import SqliteLog
from streams.stages.contents import Chunk, encode_chunks, encode_vectors
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import DEFAULT_EMBEDDER

CHUNKS = 100_000
CHUNKS_PER_DOCUMENT = 10
WORDS_PER_CHUNK = (100, 200)
VOCABULARY = 30_000
DOCUMENTS_PER_COMMIT = 200
QUERIES = 200
DIM = 256


class Corpus:
    """A log, its artifacts and both indexes in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.log = SqliteLog(folder / "log.sqlite")
        self.artifacts = LocalArtifacts(folder / "artifacts", clock=_now)
        self._engine = open_index_database(folder / "indexes.sqlite")
        self._random = np.random.default_rng(7)
        self._words = np.array([f"{_syllables(number)}" for number in range(VOCABULARY)])
        weights = 1 / np.arange(1, VOCABULARY + 1)
        self._weights = weights / weights.sum()
        self.projections = (VectorIndex(embedder=DEFAULT_EMBEDDER, dim=DIM), KeywordIndex())
        self.vector: IndexView[VectorBackend] = self._view(folder, 0, partial(QdrantEdgeVectorBackend, dim=DIM))
        self.keyword: IndexView[KeywordBackend] = self._view(folder, 1, TantivyKeywordBackend)
        self.views = (self.vector, self.keyword)

    def write(self, documents: int) -> None:
        """Complete that many documents."""
        for start in range(0, documents, DOCUMENTS_PER_COMMIT):
            drafts = [
                draft for number in range(start, start + DOCUMENTS_PER_COMMIT) for draft in self._document(number)
            ]
            self.artifacts.sync()
            self.log.append(SlotNumber(0), drafts)

    def query(self) -> str:
        """Three words that somebody might look for: neither the commonest nor the rarest."""
        return " ".join(self._words[self._random.integers(20, 3_000, 3)])

    def close(self) -> None:
        """Let go of everything."""
        for view in self.views:
            view.close()
        self._engine.dispose()
        self.log.close()
        self.artifacts.close()

    def _view(self, folder: Path, number: int, open_backend: Callable[..., object]) -> IndexView:  # type: ignore[type-arg]
        spec = self.projections[number].spec
        home = IndexHome(
            spec,
            log_id=self.log.log_id,
            store=FolderGenerations(folder / "indexes" / spec.name, open_backend),  # type: ignore[arg-type]
            database=self._engine,
        )
        view = IndexView(home, artifacts=self.artifacts, clock=_now, longest_query_s=30.0)
        view.open()
        return view

    def _document(self, number: int) -> list[Draft]:
        uri = f"file:///srv/documents/handbook/chapter-{number:06}.html"
        chunks, start = [], 0
        for ordinal, length in enumerate(self._random.integers(*WORDS_PER_CHUNK, CHUNKS_PER_DOCUMENT)):
            text = " ".join(self._random.choice(self._words, length, p=self._weights))
            chunks.append(Chunk(ordinal, start, start + len(text), None, text, sha256(text.encode()).hexdigest()))
            start += len(text)
        vectors = self._random.standard_normal((CHUNKS_PER_DOCUMENT, DIM), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        refs = self.artifacts.put([encode_chunks(chunks), encode_vectors(vectors)])
        return _events(uri, number, chunks=refs[0], vectors=VectorsRef(embedder=DEFAULT_EMBEDDER, dim=DIM, ref=refs[1]))


def run(*, chunks: int = CHUNKS) -> dict[str, float]:
    """Chunks per second of each index and milliseconds per search."""
    figures: dict[str, float] = {"chunks": chunks}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        corpus = Corpus(Path(folder))
        corpus.write(chunks // CHUNKS_PER_DOCUMENT)
        for view, projection in zip(corpus.views, corpus.projections, strict=True):
            with _timed(figures, f"project_{view.name}", chunks):
                Follower(corpus.log, projection, view).catch_up()
        figures |= _searched(corpus)
        for view, projection in zip(corpus.views, corpus.projections, strict=True):
            with _timed(figures, f"verify_{view.name}", chunks):
                assert verify([view], corpus.log, artifacts=corpus.artifacts, scratch=Path(folder)).is_consistent
            with _timed(figures, f"verify_deep_{view.name}", chunks):
                assert verify(
                    [view], corpus.log, artifacts=corpus.artifacts, scratch=Path(folder), deep=True
                ).is_consistent
            with _timed(figures, f"rebuild_{view.name}", chunks):
                rebuild_index(view, projection, corpus.log, scratch=Path(folder), pipeline_id="bench", clock=_now)
        with _timed(figures, "verify_both", 2 * chunks):
            assert verify(corpus.views, corpus.log, artifacts=corpus.artifacts, scratch=Path(folder)).is_consistent
        corpus.close()
    return figures


def main() -> None:
    """Print the table and the same figures as JSON."""
    figures = run(chunks=int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS)
    print(f"{figures['chunks']:,.0f} chunks, {CHUNKS_PER_DOCUMENT} per document, {DIM} dimensions")
    print(f"{'chunks/s':14}{'vector':>12}{'keyword':>12}")
    for what in ("project", "verify", "verify_deep", "rebuild"):
        vector, keyword = figures[f"{what}_vector_chunks_per_s"], figures[f"{what}_keyword_chunks_per_s"]
        print(f"{what:14}{vector:12,.0f}{keyword:12,.0f}")
    print(f"{'verify both':14}{figures['verify_both_chunks_per_s']:12,.0f} (the log is read once)")
    print(f"{'ms per search':14}{'p50':>12}{'p95':>12}")
    for mode in SearchMode:
        print(f"{mode:14}{figures[f'{mode}_p50_ms']:12.2f}{figures[f'{mode}_p95_ms']:12.2f}")
    print(json.dumps(figures))


def _searched(corpus: Corpus) -> dict[str, float]:
    embedder = load_embedder(DEFAULT_EMBEDDER)
    search = Search(
        vector=corpus.vector,
        keyword=corpus.keyword,
        embedder=lambda: embedder,
        artifacts=corpus.artifacts,
    )
    figures = {}
    for mode in SearchMode:
        took_ms = [search.search(corpus.query(), mode=mode).took_ms for _ in range(QUERIES)]
        cuts = quantiles(took_ms, n=20)
        figures |= {f"{mode}_p50_ms": cuts[9], f"{mode}_p95_ms": cuts[18]}
    return figures


@contextmanager
def _timed(figures: dict[str, float], what: str, chunks: int) -> Iterator[None]:
    start_s = perf_counter()
    yield
    figures[f"{what}_chunks_per_s"] = chunks / (perf_counter() - start_s)


def _events(uri: str, number: int, *, chunks: object, vectors: VectorsRef) -> Sequence[Draft]:
    document_id = document_id_of(uri)
    request_id = event_id_of("job", "DocumentRequested", uri)
    finding = Finding(uri=uri, size_bytes=20_480, modified_at_ns=1_767_225_600_000_000_000)

    def meta(kind: str, sequence: int) -> Meta:
        event_id = event_id_of(request_id, kind)
        return Meta(event_id=event_id, occurred_at=_now(), pipeline_id="bench", sequence=sequence)

    stages = [StageReport(stage=stage, fingerprint="0" * 64, input_hash="0" * 64) for stage in list(Stage)[1:]]
    events = [
        DocumentQueued(meta=meta("q", 1), document_id=document_id, request_id=request_id, offset=number, uri=uri),
        DocumentStarted(meta=meta("s", 2), document_id=document_id, request_id=request_id),
        DocumentCompleted(
            meta=meta("c", 3),
            document_id=document_id,
            request_id=request_id,
            version=1,
            uri=uri,
            finding=finding,
            stages=stages,
            chunks=chunks,  # type: ignore[arg-type]
            vectors=(vectors,),
            chunk_count=CHUNKS_PER_DOCUMENT,
            media_type="text/html",
            title=f"Chapter {number}",
        ),
    ]
    return [Draft("documents", document_id, event) for event in events]


def _syllables(number: int) -> str:
    consonants, vowels, word = "bdfgklmnprstvz", "aeiou", ""
    while True:
        number, consonant = divmod(number, len(consonants))
        number, vowel = divmod(number, len(vowels))
        word += consonants[consonant] + vowels[vowel]
        if not number:
            return word


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
