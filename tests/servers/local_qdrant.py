"""What Qdrant's REST interface answers, from qdrant-client's local mode, with the ways that a real server has.

It answers the calls that refold's backend makes, one at a time. Any other path is a 404, and any other wish a 400, in
Qdrant's own shape. As a server does (seen in 1.18.3):

- a search finds ids first and fetches payloads afterwards; what is deleted between is left out of the answer, which is
  short then; an answer without payloads is not;
- actions on aliases are done one after the other: one that fails leaves what was done before it;
- after a crash it answers before its log is replayed: what was acknowledged comes back with the time, and
  `update_queue.length` says how much is still to come; whatever is written waits for that;
- a key that may only read is refused everything else, also what would change nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

LIMIT = 10
"""Points answered where no limit is given."""

LOGGED = 64
"""The newest upserts, which a crash can make invisible."""

READ_ONLY = "read-only"
"""The key with which nothing can be changed; any other may do everything."""

CONTROL = "/stand-in"
"""Where a test says what is to happen: no path of Qdrant's."""


class Refusal(Exception):  # noqa: N818 - an answer
    """What is answered with a status of its own."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class LocalQdrant:
    """What the server holds."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.indexed: dict[str, dict[str, Any]] = {}
        self.log: deque[tuple[str, Sequence[Any]]] = deque(maxlen=LOGGED)
        self.unreplayed: deque[tuple[str, Sequence[Any]]] = deque()
        self.deletions: deque[tuple[str, Sequence[Any]]] = deque()
        self._lock = Lock()

    def answer(self, method: str, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON."""
        try:
            return 200, {"result": self._result(method, path, body, key), "status": "ok", "time": 0.0}
        except Refusal as exc:
            return exc.status, _error(str(exc))
        except ValidationError as exc:
            return 400, _error(f"Format error in JSON body: {exc.errors(include_url=False)[0]['msg']}")
        except ValueError as exc:
            return 404 if "not found" in str(exc) else 400, _error(str(exc))
        except Exception as exc:  # noqa: BLE001 - as a server says that it failed
            return 500, _error(f"Service internal error: {exc!r}")

    def replay(self, most: int | None = None) -> None:
        """Show what a crash has hidden, the oldest first."""
        count = len(self.unreplayed) if most is None else min(most, len(self.unreplayed))
        for name, points in [self.unreplayed.popleft() for _ in range(count)]:
            if self.client.collection_exists(name):
                self.client.upsert(name, points)

    def _result(self, method: str, path: str, body: Any, key: str | None) -> Any:
        for pattern, result, is_reading in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                if key == READ_ONLY and not is_reading:
                    raise Refusal(403, "Forbidden: Write access to this collection is required")
                arguments = [*map(unquote, found.groups()), *([body] if body is not None else [])]
                return self._in_turns(partial(result, self, *arguments))
        raise Refusal(404, f"no such path: {method} {path}")

    def _in_turns(self, result: Callable[[], Any]) -> Any:
        """The result; what is left to be done is done in a turn of its own, and others have theirs between."""
        answer: Any = result
        while callable(answer):
            with self._lock:
                answer = answer()
        return answer


def _collections(held: LocalQdrant) -> Any:
    return held.client.get_collections().model_dump()


def _exists(held: LocalQdrant, name: str) -> Any:
    return {"exists": held.client.collection_exists(name)}


def _describe(held: LocalQdrant, name: str) -> Any:
    schema = {field: {"data_type": kind, "points": 0} for field, kind in held.indexed.get(name, {}).items()}
    queue = {"length": sum(one == name for one, _ in held.unreplayed)}
    described = {**held.client.get_collection(name).model_dump(), "payload_schema": schema, "update_queue": queue}
    held.replay(1)
    return described


def _create(held: LocalQdrant, name: str, body: Any) -> Any:
    if held.client.collection_exists(name):
        raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
    # What else a collection can be told is about graphs and disks, of which there are none here.
    asked = models.CreateCollection.model_validate(body)
    return held.client.create_collection(name, vectors_config=asked.vectors, metadata=asked.metadata)


def _delete_collection(held: LocalQdrant, name: str) -> Any:
    held.indexed.pop(name, None)
    return held.client.delete_collection(name)


def _index_field(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.CreateFieldIndex, body, "field_name", "field_schema")
    done = held.client.create_payload_index(name, asked.field_name, asked.field_schema).model_dump()
    held.indexed.setdefault(name, {})[asked.field_name] = asked.field_schema
    return done


def _upsert(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.PointsList, body, "points")
    held.replay()
    done = held.client.upsert(name, asked.points).model_dump()
    held.log.append((name, asked.points))
    return done


def _delete(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.PointIdsList, body, "points")
    held.replay()
    return held.client.delete(name, asked).model_dump()


def _read(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.PointRequest, body, "ids", "with_payload", "with_vector")
    found = held.client.retrieve(name, asked.ids, **_shown(asked, has_payload=True))
    return [record.model_dump() for record in found]


def _scroll(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.ScrollRequest, body, "limit", "offset", "with_payload", "with_vector")
    shown = _shown(asked, has_payload=True)
    records, following = held.client.scroll(name, limit=asked.limit or LIMIT, offset=asked.offset, **shown)
    return {"points": [record.model_dump() for record in records], "next_page_offset": following}


def _count(held: LocalQdrant, name: str, body: Any) -> Any:
    _wish(models.CountRequest, body, "exact")
    return held.client.count(name).model_dump()


def _query(held: LocalQdrant, name: str, body: Any) -> Any:
    asked = _wish(models.QueryRequest, body, "query", "filter", "params", "limit", "with_payload", "with_vector")
    wanted = {"query": asked.query, "query_filter": asked.filter, "limit": asked.limit or LIMIT}
    found = held.client.query_points(name, **wanted, with_payload=False).points
    shown = _shown(asked, has_payload=False)
    if not any(shown.values()):
        return {"points": [point.model_dump() for point in found]}

    def fetch() -> Any:
        if held.deletions and held.deletions[0][0] == name:
            held.client.delete(name, list(held.deletions.popleft()[1]))
        records = {one.id: one for one in held.client.retrieve(name, [point.id for point in found], **shown)}
        there = [(point, records[point.id]) for point in found if point.id in records]
        return {
            "points": [
                {**point.model_dump(), "payload": record.payload, "vector": record.vector} for point, record in there
            ]
        }

    return fetch


def _aliases(held: LocalQdrant) -> Any:
    return held.client.get_aliases().model_dump()


def _change_aliases(held: LocalQdrant, body: Any) -> Any:
    for action in _wish(models.ChangeAliasesOperation, body, "actions").actions:
        held.client.update_collection_aliases([action])
    return True


def _crash(held: LocalQdrant, body: Any) -> Any:
    """The newest `upserts` are acknowledged and invisible; each look at a collection replays one."""
    hidden = [held.log.pop() for _ in range(min(int(body["upserts"]), len(held.log)))]
    for name, points in hidden:
        held.client.delete(name, [point.id for point in points])
    held.unreplayed.extend(reversed(hidden))
    return len(hidden)


def _delete_meanwhile(held: LocalQdrant, body: Any) -> Any:
    """Of each of the next searches in `collection` that fetch payloads, some `points` are deleted before it does."""
    held.deletions.extend((body["collection"], points) for points in body["points"])
    return True


_NAME = "/collections/([^/]+)"

ROUTES: tuple[tuple[str, Callable[..., Any], bool], ...] = (
    ("GET /aliases", _aliases, True),
    ("GET /collections", _collections, True),
    ("POST /collections/aliases", _change_aliases, False),
    (f"GET {_NAME}/exists", _exists, True),
    (f"GET {_NAME}", _describe, True),
    (f"PUT {_NAME}", _create, False),
    (f"DELETE {_NAME}", _delete_collection, False),
    (f"PUT {_NAME}/index", _index_field, False),
    (f"PUT {_NAME}/points", _upsert, False),
    (f"POST {_NAME}/points/delete", _delete, False),
    (f"POST {_NAME}/points", _read, True),
    (f"POST {_NAME}/points/scroll", _scroll, True),
    (f"POST {_NAME}/points/count", _count, True),
    (f"POST {_NAME}/points/query", _query, True),
    (f"POST {CONTROL}/crash", _crash, True),
    (f"POST {CONTROL}/deletions", _delete_meanwhile, True),
)
"""All that can be asked, and whether it only reads."""


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
