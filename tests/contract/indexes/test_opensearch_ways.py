"""What the OpenSearch backend makes of a server that hangs or whose shards fail, as a healthy one does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from projections.backends.folder import FolderMark
from projections.backends.opensearch.backend import OpenSearchKeywordBackend
from projections.backends.opensearch.errors import item_refusal
from projections.backends.opensearch.index import LAYOUT
from projections.backends.opensearch.server import TIMEOUT_S, OpenSearchServer
from projections.backends.server_calls import Retries
from schemas.errors import TransientError, UnreachableError
from schemas.ids import ChunkId
from tests.servers.json_over_http import handler_of

MARK = FolderMark(index="keyword", generation="g1", backend="opensearch", layout=LAYOUT)
NAME = "refold-test-keyword-g1"


class AilingServer:
    """An index of refold's without any documents; `ails` says what else becomes of a search."""

    def __init__(self) -> None:
        self.ails = ""
        self.asked: list[str] = []
        self.ends = threading.Event()

    def answer(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Status and JSON."""
        del body, headers
        self.asked.append(f"{method} {path.partition('?')[0]}")
        if "_mapping" in path:
            return 200, {NAME: {"mappings": {"_meta": {"refold": asdict(MARK)}}}}
        if self.ails == "hangs":
            self.ends.wait()
        if path.partition("?")[0].endswith("/_mget"):
            return 200, {"docs": [{"_id": "any", "error": {"type": "no_shard", "reason": "recovering"}}]}
        failed = 1 if self.ails == "lost a shard" else 0
        return 200, {"_shards": {"failed": failed}, "hits": {"hits": []}, "count": 0, "timed_out": self.ails == "late"}


@pytest.fixture
def server() -> AilingServer:
    return AilingServer()


@pytest.fixture
def url(server: AilingServer) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server.answer)) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        server.ends.set()
        http.shutdown()


def opened(url: str, **more: Any) -> OpenSearchKeywordBackend:
    return OpenSearchKeywordBackend("g1", OpenSearchServer(url=url, prefix="refold-test", **more), create=False)


def test_a_server_that_hangs_ends_a_search_at_its_time_limit(server: AilingServer, url: str) -> None:
    backend = opened(url, search_timeout_s=1.0)
    server.ails = "hangs"
    began_s = time.monotonic()

    with pytest.raises(TransientError):
        backend.search("heron", limit=5)

    assert time.monotonic() - began_s < TIMEOUT_S  # of one call without the limit
    backend.close()


def test_a_server_that_hangs_cannot_be_opened_for_longer_than_that() -> None:
    began_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError):
        opened(f"http://127.0.0.1:{silent.getsockname()[1]}", search_timeout_s=1.0)

    assert time.monotonic() - began_s < TIMEOUT_S


@pytest.mark.parametrize("ails", ["lost a shard", "late"])
def test_an_answer_of_a_part_of_the_index_is_none(server: AilingServer, url: str, ails: str) -> None:
    backend = opened(url, retries=Retries(waits_s=(0,)))
    assert backend.search("heron", limit=5) == []
    server.ails = ails

    with pytest.raises(TransientError, match="shards of the index failed"):
        backend.search("heron", limit=5)
    with pytest.raises(TransientError, match="shards of the index failed"):
        backend.count()
    backend.close()


def test_an_id_that_cannot_be_read_for_now_is_not_absent(url: str) -> None:
    backend = opened(url, retries=Retries(waits_s=(0,)))

    with pytest.raises(TransientError, match="no_shard: recovering"):
        backend.read([ChunkId("00000000-0000-5000-8000-000000000000")])
    backend.close()


def test_whoever_reads_changes_nothing(server: AilingServer, url: str) -> None:
    backend = opened(url)
    backend.search("heron", limit=5)
    backend.count()
    backend.close()

    assert set(server.asked) == {f"GET /{NAME}/_mapping", f"POST /{NAME}/_search", f"POST /{NAME}/_count"}


def test_a_refusal_is_one_line() -> None:
    error = {"type": "mapper_parsing_exception", "reason": "failed to parse\n  field [version]"}

    assert item_refusal({"error": error}) == "mapper_parsing_exception: failed to parse field [version]"
