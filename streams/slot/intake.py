"""Taking requests in: in offset order, without gaps, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from schemas.events import (
    ArtifactRef,
    DocumentQueued,
    DocumentRequested,
    Meta,
    RequestRejected,
)
from schemas.ids import DocumentId, EventId, event_id_of
from schemas.positions import Position, TopicPartition
from streams.artifacts import ArtifactStore
from streams.documents.request_contract import broken_rule
from streams.documents.state import DocumentState
from streams.log import Batch, EventLog, Recorded, Undecodable
from streams.placement import partition_of
from streams.slot.overlay import Overlay
from streams.slot.turn import Turn

INTAKE_LIMIT = 1_000
"""Requests taken in per commit: one batch of the log."""

ERROR_LIMIT = 1_000
"""Characters that a rejection says: it may quote what a stranger sent, which may be long."""


class Intake:
    """Reads one partition of `requests` and drafts a DocumentQueued for each request that is new.

    `seen` starts after the taken offset of this log and moves only by unbroken reading. A record that is no request, or
    breaks a rule of `streams/documents/request_contract.py`, is answered RequestRejected; one in the wrong partition
    is published again under the right key with the same id; a request id known for its document is dropped, else
    rejected.
    """

    def __init__(
        self, log: EventLog, artifacts: ArtifactStore, overlay: Overlay, *, partition: int, pipeline_id: str
    ) -> None:
        self._log = log
        self._artifacts = artifacts
        self._overlay = overlay
        self._pipeline_id = pipeline_id
        self._tp = TopicPartition("requests", partition)
        self._partition_count = len(log.partitions("requests"))
        self._seen = 0
        self._next_seen = 0

    @property
    def seen(self) -> Position:
        """Everything before it was taken, rejected, dropped or sent on."""
        return Position({self._tp: self._seen})

    def start(self) -> None:
        """Begin after what this slot has durably taken from this log."""
        self._seen = self._next_seen = self._overlay.taken_offset(self._log.log_id)

    def draft(self, turn: Turn, now: datetime, state_of: StateOf) -> None:
        """Draft what the next batch of requests asks for; `accept` makes it count once that is durable."""
        batch = next(iter(self._log.read([self._tp], self.seen)), None)
        if batch is None:
            return
        for undecodable in batch.undecodable:
            self._reject(turn, now, undecodable)
        good = self._new(self._acceptable(batch, turn, now), turn, now)
        states = state_of([e.document_id for _, e in good])
        contents = self._store_inline([e for _, e in good])
        for recorded, request in good:
            state = turn.state(request.document_id) or states[request.document_id]
            content_ref = contents.get(request.meta.event_id, request.content_ref)
            turn.add(state, self._queued(state, recorded, request, now, content_ref))
        self._next_seen = batch.next_position.offset(self._tp)

    def accept(self) -> None:
        """What was drafted is durable: move on."""
        self._seen = self._next_seen

    def _acceptable(self, batch: Batch, turn: Turn, now: datetime) -> list[tuple[Recorded, DocumentRequested]]:
        good = []
        for recorded in batch.recorded:
            request = recorded.event
            if not isinstance(request, DocumentRequested):
                self._reject(turn, now, _refused(recorded, f"a {type(request).__name__} is no request"))
            elif (problem := broken_rule(request)) is not None:
                self._reject(turn, now, _refused(recorded, problem))
            elif partition_of(request.document_id, self._partition_count) != self._tp.partition:
                turn.add_elsewhere("requests", request.document_id, _sent_on(request, now))
            else:
                good.append((recorded, request))
        return good

    def _new(
        self, good: Sequence[tuple[Recorded, DocumentRequested]], turn: Turn, now: datetime
    ) -> Sequence[tuple[Recorded, DocumentRequested]]:
        """Those of `good` that were not taken before; an id that another document of this slot has is refused.

        All that follows from a request is called by its id, so that it cannot be two documents'.
        """
        known = self._overlay.known_requests([request.meta.event_id for _, request in good])
        takers: dict[EventId, set[DocumentId]] = {}
        for document_id, request_id in known:
            if partition_of(document_id, self._partition_count) == self._tp.partition:
                takers.setdefault(request_id, set()).add(document_id)
        new = []
        for recorded, request in good:
            taken_for = takers.setdefault(request.meta.event_id, set())
            if not taken_for:
                taken_for.add(request.document_id)
                new.append((recorded, request))
            elif request.document_id not in taken_for:
                problem = f"meta.event_id {request.meta.event_id} was taken for document {min(taken_for)}"
                self._reject(turn, now, _refused(recorded, problem))
        return new

    def _reject(self, turn: Turn, now: datetime, refused: Undecodable) -> None:
        place = f"{self._log.log_id}:{refused.partition}:{refused.offset}"
        event = RequestRejected(
            meta=Meta(event_id=event_id_of(place, "RequestRejected"), occurred_at=now, pipeline_id=self._pipeline_id),
            topic=refused.topic,
            partition=refused.partition,
            offset=refused.offset,
            sha256=refused.sha256,
            error=refused.error[:ERROR_LIMIT],
        )
        turn.add_elsewhere("adapters", "requests", event)

    def _store_inline(self, requests: Sequence[DocumentRequested]) -> Mapping[EventId, ArtifactRef]:
        inline = [(r.meta.event_id, r.content) for r in requests if r.content is not None]
        refs = self._artifacts.put([content for _, content in inline]) if inline else []
        return {event_id: ref for (event_id, _), ref in zip(inline, refs, strict=True)}

    def _queued(
        self,
        state: DocumentState,
        recorded: Recorded,
        request: DocumentRequested,
        now: datetime,
        content_ref: ArtifactRef | None,
    ) -> DocumentQueued:
        return DocumentQueued(
            meta=replace(
                request.meta,
                event_id=event_id_of(request.meta.event_id, "DocumentQueued"),
                occurred_at=now,
                pipeline_id=self._pipeline_id,
                causation_id=request.meta.causation_id or request.meta.event_id,
                sequence=state.sequence + 1,
            ),
            document_id=request.document_id,
            request_id=request.meta.event_id,
            log_id=self._log.log_id,
            topic=recorded.topic,
            partition=recorded.partition,
            offset=recorded.offset,
            uri=request.uri,
            adapter=request.adapter,
            action=request.action,
            mode=request.mode,
            force=request.force,
            priority=request.priority,
            metadata=request.metadata,
            source_root=request.source_root,
            finding=request.finding,
            content_ref=content_ref,
        )


StateOf = Callable[[Sequence[DocumentId]], Mapping[DocumentId, DocumentState]]


def _refused(recorded: Recorded, problem: str) -> Undecodable:
    key = recorded.key.encode()
    return Undecodable(recorded.topic, recorded.partition, recorded.offset, key, recorded.sha256, problem)


def _sent_on(request: DocumentRequested, now: datetime) -> DocumentRequested:
    """`request` as it was, but that a clock which runs ahead does not move the times of the partition it goes to."""
    return replace(request, meta=replace(request.meta, occurred_at=min(request.meta.occurred_at, now)))
