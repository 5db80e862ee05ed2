"""The rows of the manifest that a batch of events leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projections.manifest.entries import status_of
from projections.sql.values import RowValues, json_of, mapping_json, micros_of
from schemas.events import DocumentEvent, DocumentQueued
from schemas.events.summary import summary_of
from schemas.ids import DocumentId, EventId
from streams.documents.evolve import evolve
from streams.documents.state import DocumentState, OpenRequest


@dataclass(frozen=True, slots=True)
class ManifestChange:
    """An event of `documents` and its place there."""

    event: DocumentEvent
    partition: int
    offset: int


class ManifestRows:
    """Folds changes over the states of their documents and keeps the rows that have to be written.

    A batch and the same changes in several batches lead to the same rows: each row follows from the state and the
    document's last event alone.
    """

    def __init__(self, states: Mapping[DocumentId, DocumentState], first_offsets: Mapping[DocumentId, int]) -> None:
        self._states = dict(states)
        self._first_offsets = dict(first_offsets)
        self._last: dict[DocumentId, tuple[ManifestChange, DocumentQueued]] = {}
        self._requests: dict[tuple[DocumentId, EventId], RowValues] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self.history: list[RowValues] = []

    def fold(self, change: ManifestChange) -> None:
        """Fold one change; what its document's state holds already is dropped.

        Raises:
            SequenceHole, ImpossibleTransition: as `evolve` does.
        """
        event = change.event
        before = self._states.get(event.document_id) or DocumentState(document_id=event.document_id)
        if event.meta.sequence <= before.sequence:
            return
        after = evolve(before, event, change.offset)
        self._states[event.document_id] = after
        self._note_request(change, before, after)
        first_offset = self._first_offsets.setdefault(event.document_id, change.offset)
        self.history.append(_history_row(change, first_offset=first_offset, version=after.version))

    def documents(self) -> Sequence[RowValues]:
        """A row for each document that changed."""
        return [
            _document_row(self._states[document_id], change, request)
            for document_id, (change, request) in self._last.items()
        ]

    def changed(self) -> Sequence[tuple[DocumentState, int, int]]:
        """The state of each document that changed, with its partition and the offset of its first event."""
        return [
            (self._states[document_id], change.partition, self._first_offsets[document_id])
            for document_id, (change, _) in self._last.items()
        ]

    def requests(self) -> Sequence[RowValues]:
        """A row for each request that changed."""
        return list(self._requests.values())

    def taken(self) -> Sequence[RowValues]:
        """The offsets after the last requests taken, by log and partition of `requests`."""
        return [
            {"log_id": log_id, "partition": partition, "next_offset": next_offset}
            for (log_id, partition), next_offset in self._taken.items()
        ]

    def _note_request(self, change: ManifestChange, before: DocumentState, after: DocumentState) -> None:
        event = change.event
        still_open = after.request(event.request_id)
        request = still_open or before.request(event.request_id)
        assert request is not None, "evolve refuses an event of a request that is not open"  # noqa: S101 - for mypy
        answer_kind = None if still_open else type(event).__name__
        self._requests[event.document_id, event.request_id] = _request_row(change.partition, request, answer_kind)
        self._last[event.document_id] = (change, request.queued)
        if isinstance(event, DocumentQueued):
            place = (event.log_id, event.partition)
            self._taken[place] = max(self._taken.get(place, 0), event.offset + 1)


def _request_row(partition: int, request: OpenRequest, answer_kind: str | None) -> RowValues:
    queued = request.queued
    is_open = answer_kind is None
    return {
        "document_id": queued.document_id,
        "request_id": queued.request_id,
        "partition": partition,
        "order": request.order,
        "job_id": queued.meta.job_id,
        "action": str(queued.action),
        "priority": str(queued.priority),
        "is_started": is_open and request.started_by is not None,
        "retry_at": micros_of(request.retry_at) if is_open and request.retry_at is not None else None,
        "answer_kind": answer_kind,
    }


def _document_row(state: DocumentState, change: ManifestChange, request: DocumentQueued) -> RowValues:
    live = state.live
    return {
        "document_id": state.document_id,
        "uri": live.uri if live else request.uri,
        "source_root": live.source_root if live else request.source_root,
        "status": str(status_of(state)),
        "sequence": state.sequence,
        "version": state.version,
        "fingerprint": live.fingerprint if live else "",
        "content_hash": live.content_hash if live else "",
        "media_type": live.media_type if live else "",
        "title": live.title if live else None,
        "chunk_count": live.chunk_count if live else 0,
        "metadata": mapping_json(live.metadata) if live else None,
        "finding": json_of(state.finding) if state.finding else None,
        "completed_at": micros_of(live.meta.occurred_at) if live else None,
        "updated_at": micros_of(change.event.meta.occurred_at),
        "open_requests": len(state.requests),
        **_answer_columns(state),
    }


def _answer_columns(state: DocumentState) -> RowValues:
    answer = state.last_answer
    failed = answer if answer is not None and state.failed_request is not None else None
    return {
        "answer_kind": answer.kind if answer else None,
        "answer_request": answer.request_id if answer else None,
        "answered_at": micros_of(answer.occurred_at) if answer else None,
        "failed_stage": str(failed.stage) if failed else None,
        "error_class": str(failed.error_class) if failed else None,
        "error_code": failed.error_code if failed else None,
        "message": failed.message if failed else None,
        "hint": failed.hint if failed else None,
        "attempt": failed.attempt if failed else None,
        "failed_finding": json_of(failed.finding) if failed and failed.finding else None,
        "failed_parameters": mapping_json(failed.parameters) if failed else None,
    }


def _history_row(change: ManifestChange, *, first_offset: int, version: int) -> RowValues:
    event = change.event
    return {
        "partition": change.partition,
        "first_offset": first_offset,
        "sequence": event.meta.sequence,
        "offset": change.offset,
        "kind": type(event).__name__,
        "occurred_at": micros_of(event.meta.occurred_at),
        "version": version,
        "summary": summary_of(event),
    }
