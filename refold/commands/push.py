"""Documents that no source holds, pushed one by one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import Any

from refold.control.messages import Emit, Json
from refold.document_results import result_of, searchable_result
from refold.engine import Engine
from refold.requests import ask, request
from refold.results import DocumentResult
from refold.unfinished_jobs import open_of_others
from refold.waiting import wait_for_position
from refold.words import priority_named
from schemas.events import Action, Answer, DocumentSkipped
from schemas.ids import random_id
from streams.uris import push_uri


def add_document(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Push one document and wait until it is searchable."""
    del emit
    uri = push_uri(str(arguments["name"]))
    asked = request(
        engine,
        uri,
        request_id=str(arguments.get("request_id") or random_id()),
        action=Action.INGEST,
        priority=priority_named(str(arguments.get("priority", "normal"))),
        metadata=arguments.get("metadata"),
        content=base64.b64decode(arguments["data"]),
    )
    answer = ask(engine, [asked], stop)[asked.meta.event_id]
    told = searchable_result(engine, result_of(answer, uri), stop)
    added = {"uri": uri, "document_id": asked.document_id, **_answer_json(engine, answer, told)}
    return {**added, "open_of_others": open_of_others(engine)}


def _answer_json(engine: Engine, answer: Answer, told: DocumentResult) -> Json:
    wait_for_position(engine, engine.end(), threading.Event(), ["manifest"])
    document = engine.parts.views.manifest.document(answer.document_id)
    is_parked = told.status == "parked"
    trouble = {"error_code": told.error_code, "message": told.message, "hint": told.hint}
    return {
        "answer": str(answer.reason).lower() if isinstance(answer, DocumentSkipped) and not is_parked else told.status,
        "version": told.version or (document.version if document else 0),
        "chunks": told.chunks or (document.chunk_count if document else 0),
        **(trouble if told.error_code is not None else {}),
    }
