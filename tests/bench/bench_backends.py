"""How fast the embedded index backends write, search, scan and read: `python tests/bench/bench_backends.py`.

Chunks come ten to a document, with 256-dimensional unit vectors, or texts of about 1,000 characters whose words are
distributed as in language (Zipf). Writing is timed with a flush every FLUSH_CHUNKS; making the chunks is not. Memory is
anonymous memory that came with the last nine tenths of the chunks, so that buffers of constant size do not count.
"""

from __future__ import annotations

import json
import tempfile
import threading
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Self, cast

import numpy as np
import psutil

from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.index.backend import DocumentAttributes, Filters, IndexBackend, IndexedChunk, ScoredChunk, Vector
from schemas.ids import ChunkId, chunk_ids_of, document_id_of

SIZES = (10_000, 100_000)
DIM = 256
CHUNKS_PER_DOCUMENT = 10
FLUSH_CHUNKS = 5_000
QUERIES = 100
LIMIT = 10
READ_CHUNKS = 1_000

VOCABULARY = 30_000
WORDS_PER_CHUNK = 150

_ROOT = "file:///usr/share/doc"
_NARROW = Filters(uri_prefix=f"{_ROOT}/package-7/", media_type="text/html")

Search = Callable[[int, Filters | None], Sequence[ScoredChunk]]


def run(*, sizes: Sequence[int] = SIZES) -> dict[str, float]:
    """Rates per second, latencies in ms, bytes per chunk; `sizes` are numbers of chunks, growing."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return {"dim": DIM} | _vector(Path(folder), sizes) | _keyword(Path(folder), sizes)


def _vector(folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    backend = QdrantEdgeVectorBackend(folder / "vector", "g1", create=True, dim=DIM)
    vectors = [_unit_vector(Random(f"query {number}")) for number in range(QUERIES)]

    def search(number: int, filters: Filters | None) -> Sequence[ScoredChunk]:
        return backend.search(vectors[number], limit=LIMIT, filters=filters)

    measured = _grown(backend, _with_vectors, search, sizes)
    bare_ms = _numpy_scan_ms(sizes[-1], vectors[0])
    measured["search_p50_to_bare_numpy"] = measured[f"search_p50_ms_at_{sizes[-1]}"] / bare_ms
    measured |= _vacuumed(backend, sizes[-1])
    backend.close()
    return {f"vector_{name}": round(value, 2) for name, value in measured.items()}


def _keyword(folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    backend = TantivyKeywordBackend(folder / "keyword", "g1", create=True)
    words = Random("queries")
    texts = [" ".join(_zipf_words(words, 3)) for _ in range(QUERIES)]

    def search(number: int, filters: Filters | None) -> Sequence[ScoredChunk]:
        return backend.search(texts[number], limit=LIMIT, filters=filters)

    measured = _grown(backend, _with_texts, search, sizes)
    began = perf_counter()
    backend.close()
    measured["close_ms"] = 1_000 * (perf_counter() - began)
    return {f"keyword_{name}": round(value, 2) for name, value in measured.items()}


def _grown(
    backend: IndexBackend, make: Callable[[int, int], list[IndexedChunk]], search: Search, sizes: Sequence[int]
) -> dict[str, float]:
    """What writing up to each of `sizes` takes, and searching there; scanning and reading at the last."""
    measured: dict[str, float] = {}
    size = 0
    before = _anonymous_bytes()
    for end in sizes:
        measured[f"upserts_per_s_to_{end}"] = _write_rate(backend, make, size, end)
        if size == 0:
            before = _anonymous_bytes()
        for name, filters in (("search", None), ("filtered_search", _NARROW)):
            measured |= {f"{name}_{key}_at_{end}": value for key, value in _latencies(search, filters).items()}
        size = end
    measured["anonymous_bytes_per_chunk"] = max(_anonymous_bytes() - before, 0) / max(size - sizes[0], 1)
    measured["disk_bytes_per_chunk"] = backend.size_bytes() / size
    measured["longest_block_of_another_thread_ms"] = _longest_block_ms(backend, make(0, FLUSH_CHUNKS))
    return measured | _scanned(backend)


def _write_rate(backend: IndexBackend, make: Callable[[int, int], list[IndexedChunk]], start: int, end: int) -> float:
    """Chunks per second, with all flushes."""
    spent_s = 0.0
    for first in range(start, end, FLUSH_CHUNKS):
        chunks = make(first, min(first + FLUSH_CHUNKS, end))
        began = perf_counter()
        backend.upsert(chunks)
        backend.flush()
        spent_s += perf_counter() - began
    return (end - start) / spent_s


def _longest_block_ms(backend: IndexBackend, chunks: Sequence[IndexedChunk]) -> float:
    """How long another thread could not run while `chunks` were written again and flushed."""
    with _Watch() as watch:
        backend.upsert(chunks)
        backend.flush()
    return 1_000 * watch.longest_s


def _numpy_scan_ms(size: int, vector: Vector) -> float:
    """What comparing `vector` with `size` others in one matrix takes at least."""
    rows = np.random.default_rng(size).standard_normal((size, DIM), np.float32)
    taken_ms = []
    for _ in range(20):
        began = perf_counter()
        np.argpartition(rows @ vector, -LIMIT)[-LIMIT:]
        taken_ms.append(1_000 * (perf_counter() - began))
    return median(taken_ms)


def _latencies(search: Search, filters: Filters | None) -> dict[str, float]:
    taken_ms = []
    for number in range(QUERIES):
        began = perf_counter()
        search(number, filters)
        taken_ms.append(1_000 * (perf_counter() - began))
    cuts = quantiles(taken_ms, n=20)
    return {"p50_ms": cuts[9], "p95_ms": cuts[18]}


def _scanned(backend: IndexBackend) -> dict[str, float]:
    began = perf_counter()
    batches = list(backend.scan_ids())
    scan_s = perf_counter() - began
    ids = [chunk_id for batch in batches for chunk_id in batch]
    some = Random("reads").sample(ids, READ_CHUNKS)
    return {"scan_ids_per_s": len(ids) / scan_s, "read_chunks_per_s": _read_rate(backend, some)}


def _read_rate(backend: IndexBackend, chunk_ids: Sequence[ChunkId]) -> float:
    began = perf_counter()
    entries = backend.read(chunk_ids)
    return len(entries) / (perf_counter() - began)


def _vacuumed(backend: IndexBackend, size: int) -> dict[str, float]:
    """What it takes to delete a fourth of all chunks, and to write the rest anew."""
    doomed = [chunk_id for batch in backend.scan_ids() for chunk_id in batch][: size // 4]
    began = perf_counter()
    backend.delete(doomed)
    backend.flush()
    deleted = perf_counter()
    backend.vacuum()
    return {"deletes_per_s": len(doomed) / (deleted - began), "vacuum_ms": 1_000 * (perf_counter() - deleted)}


class _Watch:
    """A thread that notes how long it was kept from running."""

    _PAUSE_S = 0.001

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last = perf_counter()
        while not self._stop.wait(self._PAUSE_S):
            now = perf_counter()
            self.longest_s = max(self.longest_s, now - last - self._PAUSE_S)
            last = now


def _with_vectors(start: int, end: int) -> list[IndexedChunk]:
    rows = np.random.default_rng(start).standard_normal((end - start, DIM), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return list(_chunks(start, end, lambda number: ("", rows[number - start])))


def _with_texts(start: int, end: int) -> list[IndexedChunk]:
    words = Random(start)
    return list(_chunks(start, end, lambda _: (" ".join(_zipf_words(words, WORDS_PER_CHUNK)), None)))


def _chunks(start: int, end: int, content: Callable[[int], tuple[str, Vector | None]]) -> Iterator[IndexedChunk]:
    for first in range(start, end, CHUNKS_PER_DOCUMENT):
        document = first // CHUNKS_PER_DOCUMENT
        uri = f"{_ROOT}/package-{document % 100}/html/some-page-{document}.html"
        attributes = DocumentAttributes(
            uri=uri, source_root=_ROOT, media_type="text/html", modified_at_ns=1_700_000_000_000_000_000 + document
        )
        document_id = document_id_of(uri)
        for ordinal, chunk_id in enumerate(chunk_ids_of(document_id, 1, CHUNKS_PER_DOCUMENT)):
            text, vector = content(first + ordinal)
            yield IndexedChunk(
                chunk_id=chunk_id,
                document_id=document_id,
                version=1,
                ordinal=ordinal,
                text=text,
                text_hash=sha256(text.encode()).hexdigest(),
                attributes=attributes,
                vector=vector,
            )


_SYLLABLES = ("ka", "ro", "ti", "men", "sul", "ver", "da", "pol", "ix", "un", "gra", "be")
_CUMULATIVE = list(accumulate(1 / (rank + 2) for rank in range(VOCABULARY)))


def _zipf_words(random: Random, count: int) -> list[str]:
    return [_word(bisect(_CUMULATIVE, random.random() * _CUMULATIVE[-1])) for _ in range(count)]


def _word(rank: int) -> str:
    spelled = ""
    while rank >= 0:
        rank, syllable = divmod(rank, len(_SYLLABLES))
        spelled += _SYLLABLES[syllable]
        rank -= 1
    return spelled


def _unit_vector(random: Random) -> Vector:
    vector = np.array([random.gauss() for _ in range(DIM)], np.float32)
    return cast(Vector, vector / np.linalg.norm(vector))


def _anonymous_bytes() -> int:
    """Anonymous memory of this process, where Linux tells; elsewhere all that is its own alone."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return int(psutil.Process().memory_full_info().uss)
    lines = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    return 1_024 * int(lines["Anonymous"].split()[0])


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
