"""What index backends on servers promise of what outlives their process, and what they say when servers fail them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from projections.backends.opensearch.backend import OpenSearchKeywordBackend
from projections.backends.opensearch.server import OpenSearchServer
from projections.backends.qdrant.backend import QdrantVectorBackend
from projections.backends.qdrant.server import QdrantServer
from projections.backends.server_calls import Retries
from projections.index.backend import IndexForeign
from schemas.errors import PoisonError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.ids import ChunkId
from tests.servers.index_backends import INDEX_OF, SERVED_BACKENDS, SERVED_QDRANT, on_opensearch, on_qdrant, prefix_of
from tests.servers.run import address_of
from tests.worlds.index import HashedWords
from tests.worlds.index_chunks import chunk_of, chunks_of, contents_of, digests_of, find, ids_of

REPORT = "folder:docs/report.md"

Served = OpenSearchKeywordBackend | QdrantVectorBackend


@pytest.fixture(params=SERVED_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(name: str, folder: Path, generation: str = "g1", *, create: bool = False) -> Served:
    """A generation on the server."""
    if name == "opensearch":
        return OpenSearchKeywordBackend(generation, on_opensearch(folder), create=create)
    return QdrantVectorBackend(generation, on_qdrant(folder), create=create, dim=HashedWords.dim)


def at_address(name: str, url: str, retries: Retries) -> Served:
    """An index on the server at `url`."""
    where: dict[str, Any] = {"url": url, "prefix": "refold-test", "retries": retries}
    if name == "opensearch":
        return OpenSearchKeywordBackend("g1", OpenSearchServer(**where), create=True)
    return QdrantVectorBackend("g1", QdrantServer(grpc_port=None, **where), create=True, dim=8)


@pytest.fixture(autouse=True)
def _nothing_left_behind(name: str, tmp_path: Path) -> Iterator[None]:
    yield
    for generation in ("g1", "g2"):
        with suppress(RefoldError):
            opened(name, tmp_path, generation).drop()


def write_and_close(name: str, folder: Path, generation: str = "g1") -> None:
    backend = opened(name, folder, generation, create=True)
    backend.upsert(chunks_of(REPORT, 3))
    backend.close()


def test_what_was_written_is_there_after_close_and_reopen(name: str, tmp_path: Path) -> None:
    backend = opened(name, tmp_path, create=True)
    written = chunks_of(REPORT, 5)
    backend.upsert(written)
    backend.flush()
    backend.delete(ids_of(written[:1]))
    backend.close()  # flushes

    backend = opened(name, tmp_path)

    assert contents_of(backend, name) == digests_of(written[1:], name)
    assert {hit.chunk_id for hit in find(backend, name)} == set(ids_of(written[1:]))
    assert backend.size_bytes() > 0
    backend.close()


def test_a_generation_that_is_not_there_is_foreign(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)

    with pytest.raises(IndexForeign) as raised:
        opened(name, tmp_path, "g2")

    assert raised.value.hint == f"refold rebuild {INDEX_OF[name]}"


def test_creating_empties_an_index_of_the_same_name(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)

    backend = opened(name, tmp_path, create=True)

    assert contents_of(backend, name) == {}
    backend.close()


def test_a_dropped_generation_is_gone(name: str, tmp_path: Path) -> None:
    write_and_close(name, tmp_path)
    backend = opened(name, tmp_path)

    backend.drop()
    backend.close()

    with pytest.raises(IndexForeign):
        opened(name, tmp_path)


def test_an_index_that_is_deleted_under_its_writer_is_noticed(name: str, tmp_path: Path) -> None:
    backend = opened(name, tmp_path, create=True)
    if isinstance(backend, QdrantVectorBackend):
        backend._there.delete()
    else:
        backend._client.indices.delete(index=backend._there.name)

    with pytest.raises(IndexForeign):
        backend.upsert(chunks_of(REPORT, 1))

    with suppress(IndexForeign):
        backend.close()
    with pytest.raises(IndexForeign):
        opened(name, tmp_path)


@pytest.mark.parametrize("call", ["read", "scan", "count", "search"])
def test_an_index_that_is_deleted_under_its_reader_is_no_empty_one(name: str, tmp_path: Path, call: str) -> None:
    write_and_close(name, tmp_path)
    backend, writer = opened(name, tmp_path), opened(name, tmp_path)
    written = chunks_of(REPORT, 3)
    calls = {
        "read": lambda: backend.read(ids_of(written)),
        "scan": lambda: list(backend.scan_ids()),
        "count": backend.count,
        "search": lambda: find(backend, name),
    }
    assert calls[call]()  # who asks within the next second does not look whether it is still there
    writer.drop()

    with pytest.raises(IndexForeign):
        calls[call]()

    backend.close()


def test_what_the_server_refuses_stands_alone_and_the_others_are_written(name: str, tmp_path: Path) -> None:
    backend = opened(name, tmp_path, create=True)
    whole = chunks_of(REPORT, 40)
    broken = chunk_of("folder:broken.pdf")
    # Beyond what the field of a version can hold; and no id that Qdrant takes.
    refused = {
        "opensearch": replace(broken, version=2**70),
        SERVED_QDRANT: replace(broken, chunk_id=ChunkId("no uuid")),
    }

    with pytest.raises(PoisonError) as raised:
        backend.upsert([*whole, refused[name]])
    backend.flush()

    assert raised.value.subject == "folder:broken.pdf"
    assert contents_of(backend, name) == digests_of(whole, name)
    backend.close()


@pytest.mark.parametrize("name", ["opensearch"])
def test_an_index_of_somebody_else_is_left_alone(name: str, tmp_path: Path) -> None:
    client, theirs = OpenSearch([address_of("opensearch")]), f"{prefix_of(tmp_path)}-keyword-g1"
    client.index(index=theirs, body={"title": "not ours"})

    with pytest.raises(UsageError, match="not one of refold's"):
        opened(name, tmp_path, create=True)
    with pytest.raises(IndexForeign):
        opened(name, tmp_path)

    assert client.indices.exists(index=theirs)
    client.indices.delete(index=theirs)


@pytest.mark.parametrize("name", ["opensearch"])
def test_more_hits_than_the_server_gives_at_once_come_in_pages(name: str, tmp_path: Path) -> None:
    backend = opened(name, tmp_path, create=True)
    written = [chunk_of(REPORT, number, text="chunk " * (1 + number % 7)) for number in range(11_000)]
    backend.upsert(written)
    backend.flush()

    hits = find(backend, name, limit=20_000)

    assert {hit.chunk_id for hit in hits} == set(ids_of(written))
    assert list(find(backend, name, limit=50)) == list(hits[:50])
    backend.close()


def test_a_server_that_is_not_there_is_unreachable(name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(UnreachableError) as raised:
            at_address(name, url, Retries())

    assert raised.value.hint


class _Busy(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_HEAD = do_PUT = do_POST = _answer  # noqa: N815 - the names http.server looks for

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_stays_busy_is_asked_a_few_times_and_is_an_error_that_may_pass(name: str) -> None:
    waited: list[float] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with pytest.raises(TransientError):
                at_address(name, f"http://127.0.0.1:{server.server_port}", Retries(sleep=waited.append))
        finally:
            server.shutdown()

    assert waited == list(Retries().waits_s)
