"""Chunks to fill an index backend with, and ways to ask both kinds of backend the same thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256, shake_128
from typing import cast

import numpy as np

from projections.index.backend import (
    DocumentAttributes,
    Filters,
    IndexBackend,
    IndexedChunk,
    KeywordBackend,
    ScoredChunk,
    Vector,
    VectorBackend,
)
from schemas.ids import ChunkId, chunk_id_of, document_id_of
from tests.servers.index_backends import INDEX_OF
from tests.worlds.index import HashedWords

COMMON_WORD = "chunk"
"""What every chunk's text says."""


def unit_vector(seed: str, dim: int = HashedWords.dim) -> Vector:
    """A vector of length 1, another for each `seed`."""
    numbers = np.frombuffer(shake_128(seed.encode()).digest(4 * dim), "<i4").astype(np.float32)
    return cast(Vector, numbers / np.linalg.norm(numbers))


def chunk_of(
    uri: str,
    ordinal: int = 0,
    *,
    version: int = 1,
    text: str | None = None,
    vector: Vector | None = None,
    attributes: DocumentAttributes | None = None,
) -> IndexedChunk:
    """A chunk of `uri`, with a text and a vector of its own unless they are given."""
    document_id = document_id_of(uri)
    said = f"{COMMON_WORD} {ordinal} of {uri} at version {version}" if text is None else text
    return IndexedChunk(
        chunk_id=chunk_id_of(document_id, version, ordinal),
        document_id=document_id,
        version=version,
        ordinal=ordinal,
        text=said,
        text_hash=sha256(said.encode()).hexdigest(),
        attributes=attributes or DocumentAttributes(uri=uri, media_type="text/plain"),
        vector=unit_vector(said) if vector is None else vector,
    )


def chunks_of(uri: str, count: int, *, version: int = 1) -> list[IndexedChunk]:
    """The `count` chunks of a version of `uri`."""
    attributes = DocumentAttributes(uri=uri, media_type="text/plain")
    return [chunk_of(uri, ordinal, version=version, attributes=attributes) for ordinal in range(count)]


def ids_of(chunks: Sequence[IndexedChunk]) -> list[ChunkId]:
    """The ids of `chunks`."""
    return [chunk.chunk_id for chunk in chunks]


def contents_of(backend: IndexBackend, name: str) -> Mapping[ChunkId, str]:
    """The digest of every chunk that is really there, by id, having checked that each comes once."""
    batches = list(backend.scan_ids())
    scanned = [chunk_id for batch in batches for chunk_id in batch]
    assert len(scanned) == len(set(scanned)) == backend.count(), name
    return {entry.chunk_id: entry.digest for batch in batches for entry in backend.read(batch)}


def digests_of(chunks: Sequence[IndexedChunk], name: str) -> Mapping[ChunkId, str]:
    """What `contents_of` says of a backend that holds `chunks` and nothing else."""
    return {chunk.chunk_id: _digest(chunk, INDEX_OF[name]) for chunk in chunks}


def find(
    backend: IndexBackend, name: str, *, limit: int = 1_000, filters: Filters | None = None
) -> Sequence[ScoredChunk]:
    """Chunks that pass `filters`, up to `limit`, whatever they are about."""
    return find_like(backend, name, chunk_of("anything", text=COMMON_WORD), limit=limit, filters=filters)


def find_like(
    backend: IndexBackend, name: str, chunk: IndexedChunk, *, limit: int, filters: Filters | None = None
) -> Sequence[ScoredChunk]:
    """The best hits for the text or the vector of `chunk`."""
    if INDEX_OF[name] == "keyword":
        return cast(KeywordBackend, backend).search(chunk.text, limit=limit, filters=filters)
    assert chunk.vector is not None
    return cast(VectorBackend, backend).search(chunk.vector, limit=limit, filters=filters)


def _digest(chunk: IndexedChunk, index: str) -> str:
    if index == "keyword":
        return chunk.text_hash
    assert chunk.vector is not None
    return sha256(chunk.vector.astype("<f4").tobytes()).hexdigest()
