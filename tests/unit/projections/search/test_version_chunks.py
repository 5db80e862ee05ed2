"""The chunks that searches read: what is kept of them is bounded by count and by bytes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from projections.search import version_chunks
from projections.search.version_chunks import VersionChunks
from schemas.events import ArtifactRef
from streams.artifact_stores.memory import MemoryArtifacts
from streams.stages.contents import Chunk, encode_chunks


def chunks_of(number: int, *, text: str = "a word") -> list[Chunk]:
    return [Chunk(ordinal=number, start=0, end=6, page=None, text=text, text_hash="ab" * 32)]


def stored(artifacts: MemoryArtifacts, count: int, *, text: str = "a word") -> list[ArtifactRef]:
    return artifacts.put([encode_chunks(chunks_of(number, text=text)) for number in range(count)])


def test_many_small_documents_keep_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_chunks, "KEPT_COUNT", 50)
    artifacts = MemoryArtifacts(lambda: datetime.now(UTC))
    refs, chunks = stored(artifacts, 200), VersionChunks(artifacts)
    for number, ref in enumerate(refs):
        assert chunks.read([ref]) == {ref: chunks_of(number)}
    assert list(chunks._kept) == refs[-50:]
    assert chunks._size_bytes == sum(ref.size_bytes for ref in refs[-50:])


def test_large_documents_keep_a_bounded_number_of_bytes() -> None:
    artifacts = MemoryArtifacts(lambda: datetime.now(UTC))
    refs = stored(artifacts, 20, text="long" * 1_000)
    chunks = VersionChunks(artifacts, kept_bytes=3 * refs[-1].size_bytes)
    chunks.read(refs)
    assert list(chunks._kept) == refs[-3:]
