"""Document states folded from the log in memory, as far behind as a test wants: the reference for the manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from schemas.events import DocumentEvent, DocumentQueued, Priority
from schemas.ids import DocumentId, EventId, JobId
from schemas.positions import Position
from streams.documents.evolve import evolve
from streams.documents.state import DocumentState
from streams.documents.states import KnownDocument, QueueEntry
from streams.log import EventLog


class FoldedStates:
    """Implements `streams.documents.states.DocumentStates` by folding; moves only when told to."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._position = Position()
        self._states: dict[DocumentId, DocumentState] = {}
        self._partition_of: dict[DocumentId, int] = {}
        self._requests: set[tuple[DocumentId, EventId]] = set()
        self._taken: dict[tuple[str, int], int] = {}

    def catch_up(self, events: int | None = None) -> None:
        """Fold up to `events` more records of `documents`, or all there are."""
        partitions = self._log.partitions("documents")
        for tp in partitions:
            until = self._log.end([tp])
            if events is not None:
                until = Position({tp: min(until.offset(tp), self._position.offset(tp) + events)})
            for batch in self._log.read([tp], self._position, until):
                for recorded in batch.recorded:
                    self._fold(recorded.event, recorded.offset, recorded.partition)
                self._position = self._position.joined(batch.next_position)

    def _fold(self, event: object, offset: int, partition: int) -> None:
        assert isinstance(event, DocumentEvent)
        document_id = event.document_id
        before = self._states.get(document_id, DocumentState(document_id=document_id))
        self._states[document_id] = evolve(before, event, offset)
        self._partition_of[document_id] = partition
        if isinstance(event, DocumentQueued):
            self._requests.add((document_id, event.request_id))
            key = (event.log_id, event.partition)
            self._taken[key] = max(self._taken.get(key, 0), event.offset + 1)

    def all(self) -> Mapping[DocumentId, DocumentState]:
        return self._states

    def position(self) -> Position:
        return self._position

    def states(self, document_ids: Collection[DocumentId]) -> tuple[Mapping[DocumentId, DocumentState], Position]:
        return {d: self._states[d] for d in document_ids if d in self._states}, self._position

    def known_requests(self, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
        return {(document_id, request_id) for document_id, request_id in self._requests if request_id in request_ids}

    def taken_offset(self, log_id: str, partition: int) -> int:
        return self._taken.get((log_id, partition), 0)

    def open_requests(
        self,
        partition: int,
        *,
        priority: Priority,
        after_order: int,
        limit: int,
        without_jobs: Collection[JobId] = (),
    ) -> Sequence[QueueEntry]:
        entries = [
            QueueEntry(
                order=r.order,
                document_id=document_id,
                request_id=r.queued.request_id,
                job_id=r.queued.meta.job_id,
                priority=r.queued.priority,
                retry_at=r.retry_at,
                is_started=r.started_by is not None,
            )
            for document_id, state in self._states.items()
            if self._partition_of[document_id] == partition
            for r in state.requests
        ]
        wanted = [
            e for e in entries if e.priority is priority and e.order > after_order and e.job_id not in without_jobs
        ]
        return sorted(wanted, key=lambda e: e.order)[:limit]

    def started_documents(self, partition: int) -> Sequence[DocumentId]:
        return [d for d, s in self._states.items() if s.started and self._partition_of[d] == partition]

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        return {d: _known(self._states[d]) for d in document_ids if d in self._states}

    def live_under(self, source_root: str, *, after: DocumentId | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        live = sorted(
            (d, s.live.uri)
            for d, s in self._states.items()
            if s.live is not None and s.live.source_root == source_root and (after is None or d > after)
        )
        return live[:limit]

    def live_below(self, uri_prefix: str, *, after: str | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        live = sorted((s.live.uri, d) for d, s in self._states.items() if s.live is not None)
        found = [(d, uri) for uri, d in live if uri.startswith(uri_prefix) and (after is None or uri > after)]
        return found[:limit]


def _known(state: DocumentState) -> KnownDocument:
    live, last = state.live, state.last_answer
    is_failure = last is not None and last.kind == "DocumentFailed"
    return KnownDocument(
        document_id=state.document_id,
        uri=live.uri if live else "",
        source_root=live.source_root if live else None,
        is_live=live is not None,
        finding=state.finding,
        content_hash=live.content_hash if live else "",
        fingerprint=live.fingerprint if live else "",
        media_type=live.media_type if live else "",
        metadata=live.metadata if live else None,
        failed_finding=last.finding if last and is_failure else None,
        failed_parameters=last.parameters if last and is_failure else None,
        error_class=last.error_class if last and is_failure else "",
    )
