"""Answers in the log, as the public API gives them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from projections.index.books.parked import Parked
from refold.commands.results import DocumentResult
from refold.commands.waiting import SEE_STATUS, parked_documents, wait_for_position
from refold.engine.engine import Engine
from schemas.events import (
    Answer,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentRemoved,
    DocumentSkipped,
    SkipReason,
    VectorsAdded,
)
from schemas.positions import Position

STATUSES: Mapping[type[Answer], str] = {
    DocumentCompleted: "completed",
    DocumentSkipped: "skipped",
    DocumentFailed: "failed",
    DocumentRemoved: "removed",
    DocumentCancelled: "cancelled",
    VectorsAdded: "reindexed",
}


def result_of(answer: Answer, uri: str) -> DocumentResult:
    """An answer as the public API gives it."""
    result = DocumentResult(document_id=answer.document_id, uri=uri, status=STATUSES[type(answer)])
    match answer:
        case DocumentCompleted():
            return replace(result, uri=answer.uri, version=answer.version, chunks=answer.chunk_count)
        case DocumentSkipped(reason=SkipReason.UNCHANGED):
            return replace(result, status="unchanged")
        case DocumentFailed():
            return replace(
                result,
                error_class=str(answer.error_class),
                error_code=answer.error_code,
                message=answer.message,
                hint=answer.hint,
            )
        case DocumentRemoved() | VectorsAdded():
            return replace(result, version=answer.version)
        case _:
            return result


def searchable_results(
    results: Sequence[DocumentResult], engine: Engine, stop: threading.Event
) -> tuple[Position, Sequence[DocumentResult]]:
    """Where the log ends now, and `results` once both indexes are there; what an index could not apply is parked."""
    position = engine.end()
    wait_for_position(engine, position, stop)
    parked = parked_documents(engine)
    return position, [_or_parked(result, parked.get(result.document_id)) for result in results]


def searchable_result(engine: Engine, result: DocumentResult, stop: threading.Event) -> DocumentResult:
    """The same for one document."""
    return searchable_results([result], engine, stop)[1][0]


def _or_parked(result: DocumentResult, parked: Parked | None) -> DocumentResult:
    if parked is None or result.status not in LIVE or result.version > parked.change.version:
        return result
    return replace(
        result, status="parked", error_code=parked.error_code, message=parked.message, hint=parked.hint or SEE_STATUS
    )


LIVE = frozenset({"completed", "reindexed", "unchanged"})
"""Statuses of documents that a search is to find."""
