"""What the Qdrant backend makes of the ways of a real server, which the stand-in has learned."""

from __future__ import annotations

import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import grpc
import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.grpc import (
    CollectionExists,
    CollectionExistsResponse,
    CollectionsServicer,
    add_CollectionsServicer_to_server,
)
from qdrant_client.http.exceptions import UnexpectedResponse

from projections.backends.folder import FolderMark
from projections.backends.qdrant.backend import QdrantVectorBackend
from projections.backends.qdrant.errors import mapped_qdrant_errors
from projections.backends.qdrant.filter import PAYLOAD_INDEXES
from projections.backends.qdrant.server import MARK, TIMEOUT_S, QdrantServer, connect
from projections.backends.server_calls import Retries
from projections.index.backend import ScoredChunk
from schemas.errors import MachineError, TransientError, UnreachableError, UsageError
from schemas.ids import ChunkId
from tests.servers.local_qdrant import READ_ONLY
from tests.servers.qdrant import crash, delete_meanwhile, qdrant_over_http, qdrant_process
from tests.worlds.index import HashedWords
from tests.worlds.index_chunks import chunk_of, chunks_of, find_like, ids_of

REPORT = "folder:docs/report.md"
GONE = "folder:docs/gone.md"
BEST = chunk_of(GONE, 0)
"""What is searched for: chunks that bear its vector are found first."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with qdrant_over_http() as url:
        yield url


@pytest.fixture
def where(url: str) -> dict[str, Any]:
    return {"url": url, "prefix": f"refold-test-{uuid4().hex[:8]}", "grpc_port": None}


def opened(where: dict[str, Any], *, create: bool, **more: Any) -> QdrantVectorBackend:
    return QdrantVectorBackend("g1", QdrantServer(**{**where, **more}), create=create, dim=HashedWords.dim)


@pytest.fixture
def backend(where: dict[str, Any]) -> Iterator[QdrantVectorBackend]:
    backend = opened(where, create=True)
    yield backend
    backend.drop()


def search(backend: QdrantVectorBackend, limit: int) -> list[ScoredChunk]:
    return list(find_like(backend, "qdrant", BEST, limit=limit))


# Searches beside deletions


def fill(backend: QdrantVectorBackend, *, going: int, staying: int) -> tuple[list[ChunkId], list[ChunkId]]:
    """Chunks that will be deleted, all nearer to what is searched for than those that stay."""
    gone = [chunk_of(GONE, ordinal, vector=BEST.vector) for ordinal in range(going)]
    stay = chunks_of(REPORT, staying)
    backend.upsert([*gone, *stay])
    return ids_of(gone), ids_of(stay)


@pytest.mark.parametrize("limit", [5, 36, 40, 200])
def test_a_search_beside_deletions_finds_what_remains(where: dict[str, Any], limit: int) -> None:
    backend = opened(where, create=True)
    gone, stay = fill(backend, going=100, staying=40)
    delete_meanwhile(where["url"], backend._there.name, gone)

    found = search(backend, limit)

    assert len(found) == min(limit, 40)
    assert {hit.chunk_id for hit in found} <= set(stay)
    assert found == search(backend, limit)
    backend.drop()


def test_a_search_finds_what_remains_though_each_of_its_answers_is_cut_short(where: dict[str, Any]) -> None:
    backend = opened(where, create=True)
    gone, stay = fill(backend, going=300, staying=40)
    delete_meanwhile(where["url"], backend._there.name, gone[:40], gone[40:200], gone[200:])

    assert {hit.chunk_id for hit in search(backend, 36)} <= set(stay)
    assert {hit.chunk_id for hit in search(backend, 100)} == set(stay)
    backend.drop()


def test_an_answer_that_is_cut_short_in_all_there_is_still_has_its_end(backend: QdrantVectorBackend, url: str) -> None:
    gone, stay = fill(backend, going=10, staying=3)
    delete_meanwhile(url, backend._there.name, gone)

    assert {hit.chunk_id for hit in search(backend, 50)} == set(stay)
    backend.delete(stay)
    assert search(backend, 50) == []


# A server that was started again


@pytest.mark.parametrize("call", ["search", "count", "scan", "read"])
def test_whoever_reads_waits_until_the_server_has_replayed_its_log(where: dict[str, Any], call: str) -> None:
    backend = opened(where, create=True)
    written = [chunk_of(REPORT, ordinal, vector=BEST.vector) for ordinal in range(6)]
    for chunk in written:
        backend.upsert([chunk])
    crash(where["url"], upserts=5)
    reader = opened(where, create=False)

    calls = {
        "search": lambda: {hit.chunk_id for hit in search(reader, 10)},
        "count": reader.count,
        "scan": lambda: {one for batch in reader.scan_ids() for one in batch},
        "read": lambda: {entry.chunk_id for entry in reader.read(ids_of(written))},
    }
    found = calls[call]()

    assert found == (6 if call == "count" else set(ids_of(written)))
    reader.close()
    backend.drop()


def test_a_server_that_never_comes_to_the_end_of_its_log_is_an_error_that_may_pass(where: dict[str, Any]) -> None:
    backend = opened(where, create=True)
    for chunk in chunks_of(REPORT, 9):
        backend.upsert([chunk])
    crash(where["url"], upserts=9)
    now_s = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += 100 * seconds

    impatient = opened(where, create=False, retries=Retries(sleep=sleep, monotonic=lambda: now_s))
    with pytest.raises(TransientError, match="operations are to come"):
        search(impatient, 10)
    backend.drop()


class _Collections(CollectionsServicer):  # type: ignore[misc] - the driver's stubs are untyped
    """A server without any collection."""

    def CollectionExists(self, request: Any, context: Any) -> CollectionExistsResponse:  # noqa: N802 - its name
        del request, context
        return CollectionExistsResponse(result=CollectionExists(exists=False))


def test_a_channel_comes_back_soon_after_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        refusing.settimeout(20)
        port = refusing.getsockname()[1]
        client = connect(f"http://127.0.0.1:{port}", api_key=None, grpc_port=port)
        with ThreadPoolExecutor(1) as asking:
            asked = asking.submit(client.collection_exists, "any")
            for _ in range(5):  # which takes nine seconds with gRPC's own waits, and the next one is seven away
                refusing.accept()[0].close()
            with pytest.raises(grpc.RpcError):
                asked.result()
    server = grpc.server(ThreadPoolExecutor(1))
    add_CollectionsServicer_to_server(_Collections(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        channel = client._client._grpc_channel_pool[0]  # type: ignore[attr-defined] - what all channels wait on
        grpc.channel_ready_future(channel).result(4)
        assert client.collection_exists("any") is False
    finally:
        client.close()
        server.stop(None)


def test_a_server_that_hangs_ends_a_search_at_its_time_limit() -> None:
    with qdrant_process() as (url, process):
        where: dict[str, Any] = {"url": url, "prefix": "refold-test", "grpc_port": None}
        backend = opened(where, create=True, search_timeout_s=1)
        backend.upsert(chunks_of(REPORT, 3))
        assert len(search(backend, 5)) == 3
        began_s = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(TransientError):
                search(backend, 5)
            with pytest.raises(UnreachableError):
                opened(where, create=False, search_timeout_s=1)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert time.monotonic() - began_s < TIMEOUT_S  # of one call without the limit
        assert len(search(backend, 5)) == 3


# What a key allows, and what stands in a collection


def test_a_key_that_may_only_read_is_enough_to_search_and_to_verify(where: dict[str, Any]) -> None:
    writer = opened(where, create=True)
    written = chunks_of(REPORT, 3)
    writer.upsert(written)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the driver's, of a key without TLS
        reader = opened(where, create=False, api_key=READ_ONLY)
    assert len(search(reader, 5)) == reader.count() == 3
    assert len(reader.read(ids_of(written))) == 3
    reader.check_mark()
    with pytest.raises(UsageError, match="403 Forbidden: Forbidden: Write access"):
        reader.delete(ids_of(written))
    reader.close()
    writer.drop()


def test_payload_indexes_that_a_dying_writer_did_not_make_are_made_before_the_next_turn(where: dict[str, Any]) -> None:
    client = QdrantClient(where["url"], check_compatibility=False)
    name = f"{where['prefix']}-vector-g1"
    mark = FolderMark(index="vector", generation="g1", backend="qdrant", layout=f"1 dim={HashedWords.dim}")
    vectors = models.VectorParams(size=HashedWords.dim, distance=models.Distance.DOT)
    client.create_collection(name, vectors_config=vectors, metadata={MARK: asdict(mark)})
    backend = opened(where, create=False)
    assert client.get_collection(name).payload_schema == {}

    backend.check_mark()

    assert client.get_collection(name).payload_schema.keys() == PAYLOAD_INDEXES.keys()
    backend.drop()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b'{"status": {"error": "Bad request:\\n no such vector"}}',
            "Qdrant: 400 Bad Request: Bad request: no such vector",
        ),
        (b"<html>\n<h1>A gateway</h1>\n</html>", "Qdrant: 400 Bad Request: <html> <h1>A gateway</h1> </html>"),
    ],
    ids=["qdrant's", "a gateway's"],
)
def test_an_error_over_http_is_one_line(body: bytes, told: str) -> None:
    answer = UnexpectedResponse(400, "Bad Request", body, httpx.Headers())
    mark = FolderMark(index="vector", generation="g1", backend="qdrant", layout="")

    with pytest.raises(MachineError) as raised, mapped_qdrant_errors("search", mark, "any", opens=False):
        raise answer

    assert str(raised.value) == told
