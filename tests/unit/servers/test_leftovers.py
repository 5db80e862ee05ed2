"""What a run of the tests makes on somebody's servers goes at its end, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient, models

from tests.servers.index_backends import PREFIX
from tests.servers.leftovers import drop_collections, drop_indexes
from tests.servers.qdrant import qdrant_over_http
from tests.servers.run import ADDRESSES, RUN, address_of, qdrant_grpc_port


@pytest.fixture
def qdrant() -> Iterator[QdrantClient]:
    with qdrant_over_http() as url:
        client = QdrantClient(url, check_compatibility=False)
        yield client
        client.close()


def test_collections_of_this_run_go_and_others_stay(qdrant: QdrantClient) -> None:
    vectors = models.VectorParams(size=1, distance=models.Distance.DOT)
    theirs = {"refold-papers-vector-g1", "refold-moved-vector-g1", "refold-test-another-vector-g1", f"{PREFIX[:-1]}0-x"}
    for name in (*theirs, f"{PREFIX}0a-vector-g1"):
        qdrant.create_collection(name, vectors_config=vectors)

    drop_collections(str(qdrant.init_options["url"] or qdrant.init_options["location"]), PREFIX)

    assert {one.name for one in qdrant.get_collections().collections} == theirs


def test_indexes_of_this_run_go_and_others_stay() -> None:
    from opensearchpy import OpenSearch  # noqa: PLC0415 - an extra

    url, ours, theirs = address_of("opensearch"), f"refold-test-{RUN}left-", f"refold-test-{uuid4().hex}-"
    client = OpenSearch([url])
    for prefix in (ours, theirs):
        client.indices.create(index=f"{prefix}keyword-g1")

    drop_indexes(url, ours)

    assert not client.indices.exists(index=f"{ours}keyword-g1")
    assert client.indices.exists(index=f"{theirs}keyword-g1")
    client.indices.delete(index=f"{theirs}keyword-g1")


@pytest.mark.parametrize(("port", "spoken"), [(None, 6334), ("7000", 7000), ("off", None)])
def test_a_real_qdrant_is_spoken_to_by_grpc_or_by_http_and_the_stand_in_by_http(
    monkeypatch: pytest.MonkeyPatch, port: str | None, spoken: int | None
) -> None:
    monkeypatch.delenv("QDRANT_GRPC_PORT", raising=False)
    if port is not None:
        monkeypatch.setenv("QDRANT_GRPC_PORT", port)
    monkeypatch.delenv(ADDRESSES["qdrant"], raising=False)
    assert qdrant_grpc_port() is None

    monkeypatch.setenv(ADDRESSES["qdrant"], "http://qdrant:6333")
    assert qdrant_grpc_port() == spoken
