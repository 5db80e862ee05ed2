"""What a Qdrant server can leave out by itself, so that few payloads are fetched only to be looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models

from projections.backends.qdrant.filter import FACETS, FilterablePacker, server_filter
from projections.index.backend import Filters
from tests.worlds.index_chunks import chunk_of

URIS = (
    "file:///srv/docs/report.md",
    "file:///srv/docs/report.txt",
    "file:///srv/docs.md/readme",
    "file:///srv/docs/deep/er/report.md",
    "file:///srv/docs/a.b.md",
    "push:plain",
    "push:.md",
    "file:///srv/docs/",
)
ENDINGS = "endings"


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    vectors = models.VectorParams(size=1, distance=models.Distance.DOT)
    client.create_collection("all", vectors_config=vectors)
    yield client
    client.close()


def put(client: QdrantClient, *, is_old: bool) -> None:
    """A point for each of URIS, as this release writes them or an earlier one did."""
    packer, points = FilterablePacker(), []
    for number, uri in enumerate(URIS):
        payload = packer.payload(chunk_of(uri))
        facets = payload[FACETS]
        assert isinstance(facets, list)
        said = [facet for facet in facets if not facet.startswith((ENDINGS, "name:", "suffix:"))] if is_old else facets
        points.append(models.PointStruct(id=number, vector=[1.0], payload={**payload, FACETS: said}))
    client.upsert("all", points)


def let_pass(client: QdrantClient, glob: str) -> set[str]:
    """The uris of the points that the server does not leave out."""
    records, _ = client.scroll("all", scroll_filter=server_filter(Filters(uri_glob=glob)), limit=100)
    return {URIS[int(record.id)] for record in records}


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.md", {URIS[0], URIS[3], URIS[4], URIS[6]}),
        ("*b.md", {URIS[0], URIS[3], URIS[4], URIS[6]}),  # what the suffix lets pass too much is checked
        ("*/report.md", {URIS[0], URIS[3]}),
        ("*er/report.md", {URIS[0], URIS[3]}),
        ("*/", {URIS[7]}),
        ("*.txt", {URIS[1]}),
        ("*.pdf", set[str]()),
        ("*report*", set(URIS)),
        ("*.m[d]", set(URIS)),
        ("*", set(URIS)),
        ("*plain", set(URIS)),
        ("file:///srv/docs/*.txt", {URIS[1]}),
    ],
)
def test_a_pattern_without_a_literal_beginning_is_found_by_what_it_ends_in(
    client: QdrantClient, glob: str, found: set[str]
) -> None:
    put(client, is_old=False)

    assert let_pass(client, glob) == found


@pytest.mark.parametrize("glob", ["*.md", "*/report.md", "*.pdf"])
def test_points_of_an_earlier_release_are_not_left_out(client: QdrantClient, glob: str) -> None:
    put(client, is_old=True)

    assert let_pass(client, glob) == set(URIS)
