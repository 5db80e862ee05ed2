"""Events as JSON objects and as one line for a person."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from schemas.events import DocumentCompleted, DocumentQueued, DocumentRequested, PipelineEvent
from schemas.events.summary import summary_of
from streams.log import Recorded

_NAMES_ITS_DOCUMENT = DocumentRequested | DocumentQueued | DocumentCompleted


def recorded_json(recorded: Recorded) -> dict[str, Any]:
    """A recorded event: its place, kind, one-line summary, and its fields under `event`."""
    return {
        "topic": recorded.topic,
        "partition": recorded.partition,
        "offset": recorded.offset,
        "key": recorded.key,
        "kind": type(recorded.event).__name__,
        "occurred_at": _told(recorded.event.meta.occurred_at),
        "summary": _summary_with_uri(recorded.event),
        "event": _told(recorded.event),
    }


def _summary_with_uri(event: PipelineEvent) -> str:
    summary = summary_of(event)
    return f"{summary}, {event.uri}" if isinstance(event, _NAMES_ITS_DOCUMENT) else summary


def _told(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _told(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_told(item) for item in value]
    return value
