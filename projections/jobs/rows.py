"""The rows of the jobs view that a batch of events leads to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from projections.sql.values import RowValues, list_json, mapping_json, micros_of
from schemas.events import (
    Answer,
    BatchProgress,
    DocumentCancelled,
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentQueued,
    DocumentRemoved,
    DocumentSkipped,
    JobCancelled,
    JobEvent,
    JobFinished,
    JobPaused,
    JobPlanned,
    JobResumed,
    JobSubmitted,
    StageReport,
    VectorsAdded,
    is_answer,
)
from schemas.ids import JobId

ANSWER_COUNTS: Mapping[type[Answer], str] = {
    DocumentCompleted: "completed",
    DocumentSkipped: "skipped",
    DocumentFailed: "failed",
    DocumentRemoved: "removed",
    DocumentCancelled: "cancelled",
    VectorsAdded: "reindexed",
}
"""The count that a final answer of each kind adds to."""


@dataclass(frozen=True, slots=True)
class JobChange:
    """What a person, a planner or this process said of a job."""

    event: JobEvent


@dataclass(frozen=True, slots=True)
class JobDocumentChange:
    """Something that happened to one of a job's requests, and its place in `documents`."""

    job_id: JobId
    event: DocumentEvent
    partition: int
    offset: int


def facts_after(facts: Mapping[str, Any], event: JobEvent) -> RowValues:  # noqa: PLR0911 - one per kind
    """The columns of a job's row that `event` changes.

    The event may have been written twice: the caller drops such pauses and resumes; others give the same columns again.
    """
    at = micros_of(event.meta.occurred_at)
    match event:
        case JobSubmitted() if facts["submitted_at"] is None:
            return {
                "submitted_at": at,
                "sources": list_json(event.sources),
                "mode": str(event.mode),
                "priority": str(event.priority),
                "settings_fingerprint": event.settings_fingerprint,
                "parameters": mapping_json(event.parameters),
            }
        case JobPlanned():
            return {
                "planned_at": at,
                "requested": event.requested,
                "unchanged": event.unchanged,
                "to_remove": event.to_remove,
                "unreadable": event.unreadable,
            }
        case JobPaused() if not facts["is_cancelled"] and facts["finished_at"] is None:
            return {"is_paused": True}
        case JobResumed():
            return {"is_paused": False}
        case JobCancelled():
            return {"is_cancelled": True, "is_paused": False}
        case BatchProgress():
            return _pace_after(facts, event, at)
        case JobFinished() if facts["finished_at"] is None:
            return {
                "finished_at": at,
                "outcome": str(event.outcome),
                "duration_ms": event.duration_ms,
                "is_paused": False,
            }
        case _:
            return {}


def _pace_after(facts: Mapping[str, Any], event: BatchProgress, at: int) -> RowValues:
    answers = event.completed_count + event.failed_count + event.skipped_count
    if answers < (facts["progress_answers"] or 0):
        return {}
    return {
        "progress_at": at,
        "progress_answers": answers,
        "documents_per_minute": event.documents_per_minute,
        "eta_s": event.eta_s,
    }


class JobDocumentRows:
    """What a batch of documents' events adds to their jobs.

    Counts are increments: what was counted before is left out by the view (`projections/sql/counted.py`).
    """

    def __init__(self) -> None:
        self._counts: dict[JobId, Counter[str]] = {}
        self._requests: dict[tuple[JobId, str], RowValues] = {}
        self._skips: Counter[tuple[JobId, str]] = Counter()
        self._stages: dict[tuple[JobId, str], Counter[str]] = {}
        self.failures: list[RowValues] = []

    def fold(self, change: JobDocumentChange) -> None:
        """Count one event."""
        job_id, event = change.job_id, change.event
        if isinstance(event, DocumentQueued):
            self._count(job_id, "taken")
            self._request(job_id, event)["uri"] = event.uri
            return
        if isinstance(event, DocumentCompleted | DocumentFailed):
            self._count_stages(job_id, event.stages)
        if not is_answer(event):
            return
        self._count(job_id, ANSWER_COUNTS[type(event)])
        self._request(job_id, event)["answer_kind"] = type(event).__name__
        match event:
            case DocumentCompleted():
                self._count(job_id, "chunks", event.chunk_count)
            case DocumentSkipped():
                self._skips[job_id, str(event.reason)] += 1
            case DocumentFailed():
                self.failures.append(_failure_row(change, event))
            case _:
                pass

    def counts(self) -> Sequence[RowValues]:
        """Increments per job."""
        names = sorted({name for counts in self._counts.values() for name in counts})
        return [{"job_id": job_id, **{name: counts[name] for name in names}} for job_id, counts in self._counts.items()]

    def requests(self) -> Sequence[RowValues]:
        """A row for each request that was taken or answered; null where the batch does not say."""
        return list(self._requests.values())

    def skips(self) -> Sequence[RowValues]:
        """Increments per job and reason."""
        return [{"job_id": job_id, "reason": reason, "count": count} for (job_id, reason), count in self._skips.items()]

    def stages(self) -> Sequence[RowValues]:
        """Increments per job and stage."""
        return [
            {"job_id": job_id, "stage": stage, **totals}  # documents, cached, duration_ms
            for (job_id, stage), totals in self._stages.items()
        ]

    def _count(self, job_id: JobId, name: str, by: int = 1) -> None:
        self._counts.setdefault(job_id, Counter())[name] += by

    def _request(self, job_id: JobId, event: DocumentEvent) -> RowValues:
        row: RowValues = {"job_id": job_id, "request_id": event.request_id, "uri": None, "answer_kind": None}
        return self._requests.setdefault((job_id, event.request_id), row)

    def _count_stages(self, job_id: JobId, reports: Sequence[StageReport]) -> None:
        for report in reports:
            totals = self._stages.setdefault((job_id, str(report.stage)), Counter())
            totals.update(documents=1, cached=int(report.cached), duration_ms=report.duration_ms)


def _failure_row(change: JobDocumentChange, event: DocumentFailed) -> RowValues:
    return {
        "job_id": change.job_id,
        "partition": change.partition,
        "offset": change.offset,
        "document_id": event.document_id,
        "request_id": event.request_id,
        "failed_at": micros_of(event.meta.occurred_at),
        "stage": str(event.stage),
        "error_class": str(event.error_class),
        "error_code": event.error_code,
        "message": event.message,
        "hint": event.hint,
        "attempt": event.attempt,
    }
