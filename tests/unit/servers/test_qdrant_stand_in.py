"""The stand-in for Qdrant behaves like a server that several processes share, and admits what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from projections.backends.qdrant.backend import QdrantVectorBackend
from projections.backends.qdrant.server import QdrantServer
from schemas.errors import UnreachableError
from tests.servers.qdrant import qdrant_over_http
from tests.worlds.index import HashedWords
from tests.worlds.index_chunks import chunks_of


def opened(url: str, *, create: bool) -> QdrantVectorBackend:
    server = QdrantServer(url=url, prefix="refold-test", grpc_port=None)
    return QdrantVectorBackend("g1", server, create=create, dim=HashedWords.dim)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with qdrant_over_http() as url:
        yield url


def test_what_one_client_writes_another_finds(url: str) -> None:
    writer = opened(url, create=True)
    reader = opened(url, create=False)

    writer.upsert(chunks_of("folder:docs/report.md", 3))

    assert reader.count() == 3
    reader.close()
    writer.drop()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/collections/absent", None, 404),
        ("POST", "/collections/absent/points/count", {"exact": True}, 404),
        ("PUT", "/collections/absent/snapshots", {}, 404),
        ("POST", "/collections/there/points/query", {"query": [0.0], "score_threshold": 0.5}, 400),
        ("POST", "/collections/there/points/query", {"limit": "many"}, 400),
        ("PUT", "/collections/there/points", {"points": [{"id": "no uuid", "vector": [1.0]}]}, 400),
        ("PUT", "/collections/there/points", {"points": [{"id": 1, "vector": [1.0, 2.0]}]}, 400),
        ("PUT", "/collections/there", {"vectors": {"size": 1, "distance": "Dot"}}, 409),
    ],
)
def test_what_it_does_not_know_or_cannot_do_is_refused_as_qdrant_would(
    url: str, method: str, path: str, body: Any, status: int
) -> None:
    httpx.put(f"{url}/collections/there", json={"vectors": {"size": 1, "distance": "Dot"}})

    answer = httpx.request(method, f"{url}{path}", json=body)

    assert answer.status_code == status
    assert answer.json()["status"]["error"]


def test_it_is_gone_after_its_block() -> None:
    with qdrant_over_http() as url:
        assert urlsplit(url).port

    with pytest.raises(UnreachableError):
        opened(url, create=True)
