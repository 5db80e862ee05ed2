"""Documents that no source holds, pushed one by one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import Any

from refold.commands.document_results import result_of, searchable_result
from refold.commands.named import priority_named
from refold.commands.requests import ask, request
from refold.commands.results import DocumentResult
from refold.commands.waiting import wait_for_position
from refold.control.messages import Emit, Json
from refold.engine.engine import Engine
from refold.engine.unfinished_jobs import open_of_others
from schemas.events import Action, Answer, DocumentSkipped
from schemas.ids import random_id
from streams.documents.uris import push_uri


def add_document(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Push one document and wait until it is searchable."""
    del emit
    name = str(arguments["name"])
    answer, result = push(
        name,
        base64.b64decode(arguments["data"]),
        engine,
        stop,
        metadata=arguments.get("metadata"),
        priority=str(arguments.get("priority", "normal")),
        request_id=arguments.get("request_id"),
    )
    added = {"uri": push_uri(name), "document_id": result.document_id, **_answer_json(engine, answer, result)}
    return {**added, "open_of_others": open_of_others(engine)}


def push(
    name: str,
    content: bytes,
    engine: Engine,
    stop: threading.Event,
    *,
    metadata: Mapping[str, str] | None = None,
    priority: str = "normal",
    request_id: str | None = None,
) -> tuple[Answer, DocumentResult]:
    """The answer to one document called ``push:NAME``, and its result once it is searchable, or parked.

    Pushing again with the same `request_id` asks for nothing twice.
    """
    uri = push_uri(name)
    asked = request(
        engine,
        uri,
        request_id=request_id or random_id(),
        action=Action.INGEST,
        priority=priority_named(priority),
        metadata=metadata,
        content=content,
    )
    answer = ask(engine, [asked], stop)[asked.meta.event_id]
    return answer, searchable_result(engine, result_of(answer, uri), stop)


def _answer_json(engine: Engine, answer: Answer, result: DocumentResult) -> Json:
    wait_for_position(engine, engine.end(), threading.Event(), ["manifest"])
    document = engine.parts.views.manifest.document(answer.document_id)
    status = str(answer.reason).lower() if isinstance(answer, DocumentSkipped) else result.status
    trouble = {"error_code": result.error_code, "message": result.message, "hint": result.hint}
    return {
        "answer": "parked" if result.status == "parked" else status,
        "version": result.version or (document.version if document else 0),
        "chunks": result.chunks or (document.chunk_count if document else 0),
        **(trouble if result.error_code is not None else {}),
    }
