"""Documents: list, show, history."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from projections.manifest.entries import DocumentStatus, ManifestDocument
from refold.commands.named import document_id_named
from refold.control.messages import Emit, Json
from refold.engine.engine import SQL_VIEWS, Engine
from schemas.errors import UsageError
from schemas.ids import DocumentId


def list_documents(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Documents by uri; `next` is where the next page begins, or None."""
    del emit, stop
    engine.wait_for(engine.end(), SQL_VIEWS)
    limit = int(arguments.get("limit", 100))
    found = engine.parts.views.manifest.documents(
        status=_status(arguments.get("status")),
        uri_prefix=arguments.get("uri"),
        limit=limit + 1,
        after=arguments.get("after"),
    )
    page = found[:limit]
    return {
        "documents": [document_json(document) for document in page],
        "next": page[-1].uri if len(found) > limit else None,
    }


def show_document(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """One document with its artifacts, what the indexes serve of it, and its open requests."""
    del emit, stop
    document_id = _document_id(engine, arguments)
    manifest = engine.parts.views.manifest
    document = manifest.document(document_id)
    assert document is not None  # noqa: S101 - the name was found
    states, position = manifest.states([document_id])
    live = states[document_id].live
    return {
        **document_json(document),
        "fingerprint": document.fingerprint,
        "content_hash": document.content_hash,
        "metadata": dict(document.metadata),
        "position": str(position),
        "stages": [
            {"stage": str(s.stage), "cached": s.cached, "duration_ms": s.duration_ms, "counts": dict(s.counts)}
            for s in (live.stages if live else ())
        ],
        "requests": [
            {
                "request_id": r.queued.request_id,
                "action": str(r.queued.action),
                "starts": r.starts,
                "crashes": r.crashes,
            }
            for r in states[document_id].requests
        ],
        "served": {name: _served(engine, name, document_id) for name in engine.parts.views.indexes},
    }


def document_history(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Every event of one document."""
    del emit, stop
    document_id = _document_id(engine, arguments)
    history = engine.parts.views.manifest.history(document_id)
    return {
        "document_id": document_id,
        "events": [
            {
                "sequence": entry.sequence,
                "occurred_at": entry.occurred_at.isoformat(),
                "kind": entry.kind,
                "version": entry.version,
                "summary": entry.summary,
                "position": f"documents:{entry.partition}={entry.offset}",
            }
            for entry in history
        ],
    }


def document_json(document: ManifestDocument) -> Json:
    """A document as results show it."""
    failed = ("error_class", "error_code", "stage", "message", "hint")
    return {
        "document_id": document.document_id,
        "uri": document.uri,
        "source_root": document.source_root,
        "status": str(document.status),
        "is_live": document.is_live,
        "version": document.version,
        "chunk_count": document.chunk_count,
        "media_type": document.media_type,
        "title": document.title,
        "completed_at": document.completed_at.isoformat() if document.completed_at else None,
        "updated_at": document.updated_at.isoformat(),
        "open_requests": document.open_requests,
        **{name: getattr(document.failure, name, None) for name in failed},
    }


def _served(engine: Engine, index: str, document_id: DocumentId) -> int | None:
    if index in engine.index_errors:
        return None
    served = engine.parts.views.indexes[index].served([document_id]).get(document_id)
    return served.version if served else None


def _document_id(engine: Engine, arguments: Mapping[str, Any]) -> DocumentId:
    engine.wait_for(engine.end(), SQL_VIEWS)
    return document_id_named(engine, str(arguments["document"]))


def _status(name: str | None) -> DocumentStatus | None:
    if name is None:
        return None
    try:
        return DocumentStatus(name)
    except ValueError as error:
        known = ", ".join(DocumentStatus)
        raise UsageError(f"there is no status {name!r}", op="documents list", hint=f"choose one of: {known}") from error
