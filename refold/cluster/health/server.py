"""What a process shows of itself over HTTP: whether it lives, whether it is ready, and its metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.errors import MachineError
from streams.process_log import ProcessLogger

LOOPBACK: Final = "127.0.0.1"

REQUEST_TIMEOUT_S: Final = 5.0
"""A client that connects and says nothing is hung up on: probes and Prometheus speak at once."""

TEXT: Final = "text/plain; charset=utf-8"

_log = ProcessLogger(__name__)


class HealthServer:
    """Answers GET and HEAD of three paths, each in a thread of its own.

    - ``/healthz`` gives 200 while the process lives.
    - ``/readyz`` gives 200, or 503 and one reason a line; also where the reasons cannot be found.
    - ``/metrics`` gives what `registry` collects, in Prometheus's text format.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        not_ready: What is wrong now, for people; nothing while the process is ready. Called at each ``/readyz``.
        registry: Collected at each ``/metrics``.
    """

    def __init__(
        self,
        host: str = LOOPBACK,
        port: int = 0,
        *,
        not_ready: Callable[[], Sequence[str]],
        registry: CollectorRegistry,
    ) -> None:
        self._address = (host, port)
        self._pages: dict[str, Callable[[], _Page]] = {
            "/healthz": lambda: _Page(HTTPStatus.OK, "ok\n"),
            "/readyz": lambda: _readiness(not_ready()),
            "/metrics": lambda: _Page(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST),
        }
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        return self._address[1]

    def start(self) -> None:
        """Listen.

        Raises:
            MachineError: the address cannot be listened on.
        """
        host, port = self._address
        try:
            self._server = _Server(self._address, _handler_of(self._pages))
        except OSError as exc:
            raise MachineError(
                f"{host}:{port} cannot be listened on: {exc.strerror or exc}",
                op="show health",
                subject=f"{host}:{port}",
                hint="set cluster.health_host and cluster.health_port to a free address",
            ) from exc
        self._address = (host, int(self._server.server_address[1]))
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; idempotent. Answers that are under way end by themselves."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.server_close()


class _Page:
    def __init__(self, status: HTTPStatus, body: str | bytes, kind: str = TEXT) -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.kind = kind


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that hangs on an answer must not hold up the end of the process


def _readiness(reasons: Sequence[str]) -> _Page:
    if not reasons:
        return _Page(HTTPStatus.OK, "ready\n")
    lines = (" ".join(reason.split()) for reason in reasons)
    return _Page(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{line}\n" for line in lines))


def _handler_of(pages: dict[str, Callable[[], _Page]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "refold"
        sys_version = ""
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            page = _page(pages, self.path)
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page.body)

        do_HEAD = do_GET  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            """Nothing: probes come every few seconds."""

    return Handler


def _page(pages: dict[str, Callable[[], _Page]], target: str) -> _Page:
    path = target.partition("?")[0]
    make = pages.get(path)
    if make is None:
        return _Page(HTTPStatus.NOT_FOUND, f"there is {', '.join(pages)}\n")
    try:
        return make()
    except Exception as exc:  # noqa: BLE001 - a page that cannot be made is an answer, and the process goes on
        _log.warning("a page cannot be shown", path=path, error=repr(exc))
        return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{path} cannot be told: {' '.join(str(exc).split())}\n")
