"""Events as JSON objects and as one line for a person."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from schemas.events import (
    BatchProgress,
    DocumentCompleted,
    DocumentFailed,
    DocumentQueued,
    DocumentReleased,
    DocumentRemoved,
    DocumentRequested,
    DocumentSkipped,
    DocumentStarted,
    JobFinished,
    JobPlanned,
    JobSubmitted,
    PipelineEvent,
)
from streams.log import Recorded


def recorded_json(recorded: Recorded) -> dict[str, Any]:
    """A recorded event: its place, kind, one-line summary, and its fields under `event`."""
    return {
        "topic": recorded.topic,
        "partition": recorded.partition,
        "offset": recorded.offset,
        "key": recorded.key,
        "kind": type(recorded.event).__name__,
        "occurred_at": _told(recorded.event.meta.occurred_at),
        "summary": summary_of(recorded.event),
        "event": _told(recorded.event),
    }


def summary_of(event: PipelineEvent) -> str:  # noqa: C901, PLR0911 - one line per kind
    """What an event says, in one line."""
    match event:
        case DocumentRequested() | DocumentQueued():
            return f"{event.action} {event.uri}"
        case DocumentStarted():
            return f"attempt {event.attempt}"
        case DocumentCompleted():
            return f"version {event.version}, {event.chunk_count} chunks, {event.uri}"
        case DocumentSkipped() | DocumentReleased():
            return str(event.reason)
        case DocumentFailed():
            again = "" if event.is_final else ", to be tried again"
            return f"{event.error_code}: {event.message}{again}"
        case DocumentRemoved():
            return f"version {event.version}, {event.reason}"
        case JobSubmitted():
            return " ".join(event.sources)
        case JobPlanned():
            return f"{event.requested} requested, {event.unchanged} unchanged, {event.to_remove} to remove"
        case BatchProgress():
            return f"{event.completed_count} completed, {event.failed_count} failed, {event.remaining} remaining"
        case JobFinished():
            return f"{event.outcome}, {dict(event.counts)}"
        case _:
            return ", ".join(f"{f.name}={getattr(event, f.name)}" for f in fields(event) if f.name != "meta")


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
