"""A request handler that answers with JSON, for stand-ins of servers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

Answer = Callable[[str, str, Any, Mapping[str, str]], tuple[int, Any]]
"""Called with method, path with query, JSON of the body or None, and headers; answers with status and JSON."""


def handler_of(answer: Answer) -> type[BaseHTTPRequestHandler]:
    """A handler that has `answer` answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            sent = self.rfile.read(length)
            if self.headers.get("Content-Encoding") == "gzip":
                sent = gzip.decompress(sent)
            body = json.loads(sent) if sent else None
            status, told = answer(self.command, self.path, body, dict(self.headers.items()))
            content = json.dumps(told, default=str).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_DELETE = do_HEAD = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_: object) -> None:
            pass

    return Handler
