"""A schema registry that behaves: subjects, versions, ids and rules over HTTP, in this process. It goes and comes.

It checks no compatibility. What real registries make of schemas is shown where `SCHEMA_REGISTRY_URL` names one.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, Any]


class RegistryServer:
    """What a registry holds, and the server that answers for it while it is up."""

    def __init__(
        self, *, user: str | None = None, password: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.subjects: dict[str, list[int]] = {}
        self.texts: list[str] = []
        self.rules: dict[str, str] = {}
        self.asked: list[str] = []
        self.answer_instead: Answer | None = None
        self._authorization = (
            f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user is not None else None
        )
        self._tls = tls
        self._lock = Lock()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address, which stays the same when it comes back."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    def start(self) -> RegistryServer:
        """Come up, at the same address as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler_of(self))
        self._server.daemon_threads = True
        self._port = self._server.server_port
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Go away."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, method: str, path: str, *, authorization: str | None, body: Any) -> Answer:
        """Status and JSON."""
        with self._lock:
            self.asked.append(f"{method} {path}")
            if self._authorization is not None and authorization != self._authorization:
                return 401, {"error_code": 401, "message": "Unauthorized"}
            if self.answer_instead is not None:
                return self.answer_instead
            for pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, f"{method} {path}")
                if found:
                    return answer(self, *map(unquote, found.groups()), *([body] if body is not None else []))
            return 404, "no such page"


def _versions(held: RegistryServer, subject: str) -> Answer:
    if subject not in held.subjects:
        return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
    return 200, list(range(1, len(held.subjects[subject]) + 1))


def _version(held: RegistryServer, subject: str, version: str) -> Answer:
    ids = held.subjects.get(subject, [])
    if not 0 < int(version) <= len(ids):
        return 404, {"error_code": 40402, "message": f"Version {version} not found."}
    schema_id = ids[int(version) - 1]
    return 200, {"subject": subject, "version": int(version), "id": schema_id, "schema": held.texts[schema_id - 1]}


def _register(held: RegistryServer, subject: str, body: Any) -> Answer:
    text = body["schema"]
    if text not in held.texts:
        held.texts.append(text)
    schema_id = held.texts.index(text) + 1
    ids = held.subjects.setdefault(subject, [])
    if schema_id not in ids:
        ids.append(schema_id)
    return 200, {"id": schema_id}


def _text(held: RegistryServer, schema_id: str) -> Answer:
    if not 0 < int(schema_id) <= len(held.texts):
        return 404, {"error_code": 40403, "message": f"Schema {schema_id} not found"}
    return 200, {"schema": held.texts[int(schema_id) - 1]}


def _places(held: RegistryServer, schema_id: str) -> Answer:
    places = [
        {"subject": subject, "version": ids.index(int(schema_id)) + 1}
        for subject, ids in held.subjects.items()
        if int(schema_id) in ids
    ]
    return (200, places) if places else (404, {"error_code": 40403, "message": f"Schema {schema_id} not found"})


def _rule(held: RegistryServer, subject: str) -> Answer:
    if subject not in held.rules:
        return 404, {"error_code": 40408, "message": "Subject does not have subject-level compatibility configured"}
    return 200, {"compatibilityLevel": held.rules[subject]}


def _set_rule(held: RegistryServer, subject: str, body: Any) -> Answer:
    held.rules[subject] = body["compatibility"]
    return 200, body


_ROUTES: list[tuple[str, Callable[..., Answer]]] = [
    (r"GET /subjects/([^/]+)/versions", _versions),
    (r"GET /subjects/([^/]+)/versions/(\d+)", _version),
    (r"POST /subjects/([^/]+)/versions", _register),
    (r"GET /schemas/ids/(\d+)", _text),
    (r"GET /schemas/ids/(\d+)/versions", _places),
    (r"GET /config/([^/]+)", _rule),
    (r"PUT /config/([^/]+)", _set_rule),
]


def _handler_of(held: RegistryServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = held.answer(
                self.command,
                urlsplit(self.path).path,
                authorization=self.headers.get("Authorization"),
                body=body,
            )
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_: object) -> None:
            pass

    return Handler
