"""Answers in the log, as the public API tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from refold.requests import Answer
from refold.results import DocumentResult
from schemas.events import (
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentRemoved,
    DocumentSkipped,
    SkipReason,
    VectorsAdded,
)

STATUSES: Mapping[type[Answer], str] = {
    DocumentCompleted: "completed",
    DocumentSkipped: "skipped",
    DocumentFailed: "failed",
    DocumentRemoved: "removed",
    DocumentCancelled: "cancelled",
    VectorsAdded: "reindexed",
}


def result_of(answer: Answer, uri: str) -> DocumentResult:
    """An answer as the public API tells it."""
    told = DocumentResult(document_id=answer.document_id, uri=uri, status=STATUSES[type(answer)])
    match answer:
        case DocumentCompleted():
            return replace(told, uri=answer.uri, version=answer.version, chunks=answer.chunk_count)
        case DocumentSkipped(reason=SkipReason.UNCHANGED):
            return replace(told, status="unchanged")
        case DocumentFailed():
            return replace(
                told,
                error_class=str(answer.error_class),
                error_code=answer.error_code,
                message=answer.message,
                hint=answer.hint,
            )
        case DocumentRemoved() | VectorsAdded():
            return replace(told, version=answer.version)
        case _:
            return told
