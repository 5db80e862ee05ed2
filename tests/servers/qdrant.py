"""Qdrant's REST interface over qdrant-client's local mode, so that several processes can share one index in tests.

It is not a Qdrant server: what it answers, and in which ways it is like one, stands in `local_qdrant.py`. It ends with
whoever started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.servers.json_over_http import Answer, handler_of
from tests.servers.local_qdrant import CONTROL, LocalQdrant

ROOT = Path(__file__).parents[2]
END_S = 10
"""How long its process may take to end."""


@contextmanager
def qdrant_over_http() -> Iterator[str]:
    """The address of such a server, in a process of its own that ends with the block, or with this process."""
    with qdrant_process() as (url, _):
        yield url


@contextmanager
def qdrant_process() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The same, and the process."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.servers.qdrant"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip(), server
        finally:
            server.stdin.close()  # which tells it to end
            try:
                server.wait(END_S)
            finally:
                server.kill()


def crash(url: str, *, upserts: int) -> None:
    """Have the server forget so many of the newest upserts until it has replayed its log; one at each look at it."""
    _told(url, "crash", {"upserts": upserts})


def delete_meanwhile(url: str, collection: str, *points: Sequence[str]) -> None:
    """Have `points` deleted between finding and fetching: the first of these by the next search, and so on."""
    _told(url, "deletions", {"collection": collection, "points": [list(some) for some in points]})


def _told(url: str, what: str, body: Any) -> None:
    httpx.post(f"{url}{CONTROL}/{what}", json=body).raise_for_status()


def _answers_of(held: LocalQdrant) -> Answer:
    def answer(method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        key = {name.lower(): value for name, value in headers.items()}.get("api-key")
        return held.answer(method, urlsplit(path).path, body, key)

    return answer


def main() -> None:
    """Say where this server is, and answer until whoever started it closes our input or ends."""
    warnings.simplefilter("ignore")  # the driver's: payload indexes have no effect in its local mode
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(_answers_of(LocalQdrant())))
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
