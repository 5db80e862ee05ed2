"""What an event says, in one line for a person."""

from __future__ import annotations

from dataclasses import fields

from schemas.events import (
    BatchProgress,
    DocumentCancelled,
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
    VectorsAdded,
)


def summary_of(event: PipelineEvent) -> str:  # noqa: C901, PLR0911, PLR0912 - one line per kind
    """The gist of `event` for a reader who knows its document or job: these are not named again."""
    match event:
        case DocumentRequested() | DocumentQueued():
            return f"{event.action} {event.mode}, {event.priority}" + (", forced" if event.force else "")
        case DocumentStarted():
            return f"attempt {event.attempt}"
        case DocumentCompleted():
            return f"version {event.version}, {event.chunk_count} chunks, {event.duration_ms} ms"
        case DocumentSkipped() | DocumentReleased():
            return str(event.reason)
        case DocumentFailed():
            final = "final" if event.is_final else "to be tried again"
            return f"{event.stage} {event.error_class} {event.error_code}, {final}: {event.message}"
        case DocumentRemoved():
            return f"version {event.version}, {event.reason}"
        case DocumentCancelled():
            return "the job was cancelled"
        case VectorsAdded():
            return f"version {event.version}, {event.embedder}"
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
