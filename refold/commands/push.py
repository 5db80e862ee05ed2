"""Documents that no source holds, pushed one by one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import Any

from refold.commands import Emit, Json
from refold.engine import Engine
from refold.requests import Answer, ask, request
from refold.words import priority_named
from schemas.events import (
    Action,
    DocumentCompleted,
    DocumentFailed,
    DocumentSkipped,
)
from streams.uris import push_uri


def add_document(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Push one document and wait until it is searchable."""
    del emit
    uri = push_uri(str(arguments["name"]))
    asked = request(
        engine,
        uri,
        request_id=str(arguments["request_id"]),
        action=Action.INGEST,
        priority=priority_named(str(arguments.get("priority", "normal"))),
        metadata=arguments.get("metadata"),
        content=base64.b64decode(arguments["data"]),
    )
    answer = ask(engine, [asked], stop)[asked.meta.event_id]
    engine.wait_for(engine.end())
    return {"uri": uri, "document_id": asked.document_id, **_answer_json(engine, answer)}


def _answer_json(engine: Engine, answer: Answer) -> Json:
    document = engine.parts.views.manifest.document(answer.document_id)
    version = document.version if document else 0
    chunks = document.chunk_count if document else 0
    match answer:
        case DocumentCompleted():
            return {"answer": "completed", "version": answer.version, "chunks": answer.chunk_count}
        case DocumentSkipped():
            return {"answer": str(answer.reason).lower(), "version": version, "chunks": chunks}
        case DocumentFailed():
            failure = {"error_code": answer.error_code, "message": answer.message, "hint": answer.hint}
            return {"answer": "failed", "version": version, "chunks": chunks, **failure}
        case _:
            return {"answer": type(answer).__name__, "version": version, "chunks": chunks}
