"""What every vector backend promises beyond what all index backends do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from projections.index.backend import DocumentAttributes, Filters, Vector, VectorBackend
from schemas.errors import PoisonError
from tests.servers.index_backends import INDEX_OF, open_backend_of
from tests.worlds.index import HashedWords
from tests.worlds.index_chunks import chunk_of, chunks_of, contents_of, digests_of, unit_vector

VECTOR_BACKENDS = sorted(name for name, index in INDEX_OF.items() if index == "vector")
REFERENCE = "flat"
OTHERS = [name for name in VECTOR_BACKENDS if name != REFERENCE]
DIM = HashedWords.dim

QUERIES = [unit_vector(f"query {number}") for number in range(25)]


def open_vectors(name: str, directory: Path) -> VectorBackend:
    return cast(VectorBackend, open_backend_of(name)(directory, "g1", create=True))


@pytest.fixture(params=VECTOR_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(name: str, tmp_path: Path) -> Iterator[VectorBackend]:
    opened = open_vectors(name, tmp_path)
    yield opened
    opened.close()


def test_the_score_is_the_dot_product(backend: VectorBackend) -> None:
    chunks = chunks_of("folder:a", 40)
    backend.upsert(chunks)
    backend.flush()

    scores = {hit.chunk_id: hit.score for hit in backend.search(QUERIES[0], limit=40)}

    assert scores == pytest.approx({chunk.chunk_id: float(QUERIES[0] @ chunk.vector) for chunk in chunks}, abs=1e-6)


def test_a_vector_finds_its_own_chunk_first(backend: VectorBackend) -> None:
    chunks = chunks_of("folder:a", 200)
    backend.upsert(chunks)
    backend.flush()

    for chunk in chunks[::20]:
        assert chunk.vector is not None
        best = backend.search(chunk.vector, limit=1)[0]
        assert best.chunk_id == chunk.chunk_id
        assert best.score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_every_backend_answers_with_the_same_chunks_in_the_same_order(name: str, tmp_path: Path) -> None:
    html = DocumentAttributes(uri="folder:html", media_type="text/html")
    corpus = [*chunks_of("folder:a", 400), *(chunk_of("folder:html", n, attributes=html) for n in range(100))]
    corpus += [chunk_of("folder:copies", n, vector=corpus[n % 7].vector) for n in range(70)]
    answers = []
    for which in (REFERENCE, name):
        backend = open_vectors(which, tmp_path / which)
        backend.upsert(corpus)
        backend.flush()
        answers.append(
            [
                [hit.chunk_id for hit in backend.search(query, limit=limit, filters=filters)]
                for query in QUERIES
                for limit in (1, 10, 60)
                for filters in (None, Filters(media_type="text/html"))
            ]
        )
        backend.close()

    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros(DIM, np.float32),
        np.full(DIM, -0.0, np.float32),
        np.full(DIM, 1e-42, np.float32),
        np.linspace(-3, 7, DIM, dtype=np.float32),
        np.frombuffer(b"".join(unit_vector("read-only").tobytes() for _ in range(2)), np.float32)[:DIM],
        np.repeat(unit_vector("strided"), 2)[::2],
        unit_vector("big-endian").astype(">f4"),
    ],
    ids=["zeros", "minus-zeros", "denormal", "not-of-unit-length", "read-only", "strided", "big-endian"],
)
def test_vectors_are_kept_bit_by_bit(backend: VectorBackend, name: str, numbers: Vector) -> None:
    chunk = chunk_of("folder:a", vector=numbers)
    backend.upsert([chunk])
    backend.flush()

    assert contents_of(backend, name) == digests_of([chunk], name)


@pytest.mark.parametrize(
    "broken",
    [
        unit_vector("short", DIM - 1),
        unit_vector("long", DIM + 1),
        unit_vector("flat", DIM).reshape(1, DIM),
        np.full(DIM, np.nan, np.float32),
        np.append(unit_vector("rest", DIM - 1), np.float32(np.inf)),
    ],
    ids=["short", "long", "two-dimensional", "nan", "infinite"],
)
def test_a_vector_that_cannot_be_compared_is_poison_and_nothing_is_written(
    backend: VectorBackend, name: str, broken: Vector
) -> None:
    with pytest.raises(PoisonError) as raised:
        backend.upsert([*chunks_of("folder:whole", 300), chunk_of("folder:broken.pdf", vector=broken)])
    backend.flush()

    assert raised.value.subject == "folder:broken.pdf"
    assert contents_of(backend, name) == {}


def test_a_chunk_without_a_vector_is_poison(backend: VectorBackend) -> None:
    chunk = chunk_of("folder:a")
    without = type(chunk)(
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        version=1,
        ordinal=0,
        text=chunk.text,
        text_hash=chunk.text_hash,
        attributes=chunk.attributes,
    )

    with pytest.raises(PoisonError):
        backend.upsert([without])
