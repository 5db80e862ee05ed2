"""A keyword index in memory: BM25 by the book, the reference for the others. It keeps nothing on disk: for tests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from projections.backends.folder import FolderMark
from projections.backends.matching import admission
from projections.backends.memory.chunks import ChunksInMemory
from projections.backends.ranking import ranked
from projections.index.backend import Filters, IndexedChunk, ScoredChunk
from projections.index.words import Query, parse_query, words
from schemas.ids import ChunkId

K1 = 1.2
B = 0.75

Places = Mapping[ChunkId, Sequence[int]]
"""Where a word or phrase begins in the chunks that hold it, counted in words."""


class MemoryKeywordBackend(ChunksInMemory):
    """Postings with positions in dictionaries; about ten times the texts' own size. See `ChunksInMemory`."""

    def __init__(self, directory: Path, generation: str, *, create: bool) -> None:
        mark = FolderMark(index="keyword", generation=generation, backend="memory", layout="")
        super().__init__(directory, mark, create=create, digest_of=lambda chunk: chunk.text_hash)
        self._lengths: dict[ChunkId, int] = {}
        self._total_length = 0
        self._postings: defaultdict[str, dict[ChunkId, list[int]]] = defaultdict(dict)

    def flush(self) -> None:
        """Make everything so far visible; durable it never is."""
        with self._lock:
            for chunk_id, chunk in self._pending.items():
                self._drop(chunk_id)
                if chunk is not None:
                    self._add(chunk)
            self._pending.clear()

    def search(self, query: str, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` best chunks, best first, equal scores by chunk id; what matches: `projections/index/words.py`."""
        asked, admits = parse_query(query), admission(filters)
        with self._lock:
            scores = self._scores(asked)
            found = [(self._chunks[chunk_id], score) for chunk_id, score in scores.items()]
        hits = [
            ScoredChunk(chunk.chunk_id, chunk.document_id, chunk.version, chunk.ordinal, score)
            for chunk, score in found
            if admits(chunk.attributes)
        ]
        return ranked(hits)[: max(limit, 0)]

    def _add(self, chunk: IndexedChunk) -> None:
        text_words = words(chunk.text)
        self._chunks[chunk.chunk_id] = chunk
        self._lengths[chunk.chunk_id] = len(text_words)
        self._total_length += len(text_words)
        for place, word in enumerate(text_words):
            self._postings[word].setdefault(chunk.chunk_id, []).append(place)

    def _drop(self, chunk_id: ChunkId) -> None:
        chunk = self._chunks.pop(chunk_id, None)
        if chunk is None:
            return
        self._total_length -= self._lengths.pop(chunk_id)
        for word in set(words(chunk.text)):
            del self._postings[word][chunk_id]
            if not self._postings[word]:
                del self._postings[word]

    def _scores(self, asked: Query) -> Mapping[ChunkId, float]:
        clauses = [(self._phrase_places(phrase), phrase) for phrase in asked.phrases]
        matching = set[ChunkId].intersection(*(set(places) for places, _ in clauses)) if clauses else None
        clauses += [(self._postings.get(word, {}), (word,)) for word in asked.words]
        scores: defaultdict[ChunkId, float] = defaultdict(float)
        for places, clause_words in clauses:
            weight = sum(self._idf(word) for word in clause_words)
            for chunk_id in places if matching is None else places.keys() & matching:
                scores[chunk_id] += weight * self._frequency_part(len(places[chunk_id]), self._lengths[chunk_id])
        return scores

    def _phrase_places(self, phrase: tuple[str, ...]) -> Places:
        first, *others = [self._postings.get(word, {}) for word in phrase]
        found: dict[ChunkId, list[int]] = {}
        for chunk_id, places in first.items():
            starts = [
                place
                for place in places
                if all(place + step in other.get(chunk_id, ()) for step, other in enumerate(others, start=1))
            ]
            if starts:
                found[chunk_id] = starts
        return found

    def _idf(self, word: str) -> float:
        holding = len(self._postings.get(word, ()))
        return math.log(1 + (len(self._chunks) - holding + 0.5) / (holding + 0.5))

    def _frequency_part(self, frequency: int, length: int) -> float:
        mean_length = self._total_length / len(self._lengths)
        return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / mean_length))
