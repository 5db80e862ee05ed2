"""Qdrant's REST interface over qdrant-client's local mode, so that several processes can share one index in tests.

It is not a Qdrant server: it answers the calls that refold's backend makes, from the memory of one process, one at a
time. Any other path is a 404, and any other wish a 400, in Qdrant's own shape. It ends with whoever started it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

LIMIT = 10
"""Points answered where no limit is given."""

END_S = 10
"""How long its process may take to end."""


class Refusal(Exception):  # noqa: N818 - an answer
    """What is answered with a status of its own."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class LocalQdrant:
    """What the server holds."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self._lock = Lock()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON."""
        try:
            return 200, {"result": self._result(method, path, body), "status": "ok", "time": 0.0}
        except Refusal as exc:
            return exc.status, _error(str(exc))
        except ValidationError as exc:
            return 400, _error(f"Format error in JSON body: {exc.errors(include_url=False)[0]['msg']}")
        except ValueError as exc:
            return 404 if "not found" in str(exc) else 400, _error(str(exc))
        except Exception as exc:  # noqa: BLE001 - as a server says that it failed
            return 500, _error(f"Service internal error: {exc!r}")

    def _result(self, method: str, path: str, body: Any) -> Any:
        for pattern, result in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                with self._lock:
                    return result(self.client, *map(unquote, found.groups()), *([body] if body is not None else []))
        raise Refusal(404, f"no such path: {method} {path}")


def _collections(client: QdrantClient) -> Any:
    return client.get_collections().model_dump()


def _exists(client: QdrantClient, name: str) -> Any:
    return {"exists": client.collection_exists(name)}


def _describe(client: QdrantClient, name: str) -> Any:
    return client.get_collection(name).model_dump()


def _create(client: QdrantClient, name: str, body: Any) -> Any:
    if client.collection_exists(name):
        raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
    # What else a collection can be told is about graphs and disks, of which there are none here.
    asked = models.CreateCollection.model_validate(body)
    return client.create_collection(name, vectors_config=asked.vectors, metadata=asked.metadata)


def _delete_collection(client: QdrantClient, name: str) -> Any:
    return client.delete_collection(name)


def _index_field(client: QdrantClient, name: str, body: Any) -> Any:
    asked = _wish(models.CreateFieldIndex, body, "field_name", "field_schema")
    return client.create_payload_index(name, asked.field_name, asked.field_schema).model_dump()


def _upsert(client: QdrantClient, name: str, body: Any) -> Any:
    asked = _wish(models.PointsList, body, "points")
    return client.upsert(name, asked.points).model_dump()


def _delete(client: QdrantClient, name: str, body: Any) -> Any:
    return client.delete(name, _wish(models.PointIdsList, body, "points")).model_dump()


def _read(client: QdrantClient, name: str, body: Any) -> Any:
    asked = _wish(models.PointRequest, body, "ids", "with_payload", "with_vector")
    found = client.retrieve(name, asked.ids, **_shown(asked, has_payload=True))
    return [record.model_dump() for record in found]


def _scroll(client: QdrantClient, name: str, body: Any) -> Any:
    asked = _wish(models.ScrollRequest, body, "limit", "offset", "with_payload", "with_vector")
    shown = _shown(asked, has_payload=True)
    records, following = client.scroll(name, limit=asked.limit or LIMIT, offset=asked.offset, **shown)
    return {"points": [record.model_dump() for record in records], "next_page_offset": following}


def _count(client: QdrantClient, name: str, body: Any) -> Any:
    _wish(models.CountRequest, body, "exact")
    return client.count(name).model_dump()


def _query(client: QdrantClient, name: str, body: Any) -> Any:
    asked = _wish(models.QueryRequest, body, "query", "filter", "params", "limit", "with_payload", "with_vector")
    wanted = {"query": asked.query, "query_filter": asked.filter, "limit": asked.limit or LIMIT}
    return client.query_points(name, **wanted, **_shown(asked, has_payload=False)).model_dump()


def _aliases(client: QdrantClient) -> Any:
    return client.get_aliases().model_dump()


def _change_aliases(client: QdrantClient, body: Any) -> Any:
    return client.update_collection_aliases(_wish(models.ChangeAliasesOperation, body, "actions").actions)


_NAME = "/collections/([^/]+)"

ROUTES: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("GET /aliases", _aliases),
    ("GET /collections", _collections),
    ("POST /collections/aliases", _change_aliases),
    (f"GET {_NAME}/exists", _exists),
    (f"GET {_NAME}", _describe),
    (f"PUT {_NAME}", _create),
    (f"DELETE {_NAME}", _delete_collection),
    (f"PUT {_NAME}/index", _index_field),
    (f"PUT {_NAME}/points", _upsert),
    (f"POST {_NAME}/points/delete", _delete),
    (f"POST {_NAME}/points", _read),
    (f"POST {_NAME}/points/scroll", _scroll),
    (f"POST {_NAME}/points/count", _count),
    (f"POST {_NAME}/points/query", _query),
)
"""All that can be asked."""


@contextmanager
def qdrant_over_http() -> Iterator[str]:
    """The address of such a server, in a process of its own that ends with the block, or with this process."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()  # which tells it to end
            try:
                server.wait(END_S)
            finally:
                server.kill()


def _wish(kind: type[Any], body: Mapping[str, Any], *known: str) -> Any:
    """`body` as a request of `kind`; refused if it wishes for more than `known`."""
    asked: BaseModel = kind.model_validate(body)
    unknown = {name for name in asked.model_fields_set if getattr(asked, name) is not None} - set(known)
    if unknown:
        raise Refusal(400, f"this stand-in for Qdrant knows no {', '.join(sorted(unknown))}")
    return asked


def _shown(asked: Any, *, has_payload: bool) -> dict[str, Any]:
    """What of points is answered; `has_payload` where that is not said."""
    payload = has_payload if asked.with_payload is None else asked.with_payload
    return {"with_payload": payload, "with_vectors": asked.with_vector or False}


def _error(said: str) -> Mapping[str, Any]:
    return {"status": {"error": said}, "time": 0.0}


def _handler_of(held: LocalQdrant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = held.answer(self.command, urlsplit(self.path).path, body)
            content = json.dumps(answer, default=str).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_DELETE = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    """Say where this server is, and answer until whoever started it closes our input or ends."""
    warnings.simplefilter("ignore")  # the driver's: payload indexes have no effect in its local mode
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(LocalQdrant()))
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
