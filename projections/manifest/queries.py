"""What slots ask of the manifest's tables, in one snapshot each; lists of documents: `document_queries.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, or_, select

from projections.manifest.tables import ManifestTables
from projections.sql.dialects import SCAN_ROWS, rows_among
from projections.sql.store import Snapshot
from projections.sql.values import json_of, mapping_of, optional_moment_of, optional_values_of, value_of
from schemas.events import DocumentCompleted, Finding, Priority
from schemas.ids import DocumentId, EventId, JobId
from schemas.positions import Position
from streams.documents.state import DocumentState
from streams.documents.states import KnownDocument, QueueEntry

ManifestSnapshot = Snapshot[ManifestTables]


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as it is stored; `live_json` is kept so that an unchanged live version is not encoded again."""

    state: DocumentState
    live_json: str | None
    first_offset: int


def stored_states(snapshot: ManifestSnapshot, document_ids: Collection[DocumentId]) -> dict[DocumentId, StoredState]:
    """The stored states of those that have any event."""
    query, key = _states_query(snapshot.tables.states)
    return {
        document_id: StoredState(_state(state, live), live, first_offset)
        for document_id, first_offset, state, live in rows_among(snapshot.connection, query, key, document_ids)
    }


def state_rows(
    changed: Iterable[tuple[DocumentState, int, int]], loaded: Mapping[DocumentId, StoredState]
) -> list[dict[str, Any]]:
    """The rows that store what has `changed` (state, partition, first offset); `loaded` is what was stored before."""
    return [
        {
            "document_id": state.document_id,
            "partition": partition,
            "first_offset": first_offset,
            "state": json_of(replace(state, live=None)),
            "live": _live_json(state.live, loaded.get(state.document_id)),
        }
        for state, partition, first_offset in changed
    ]


def states(
    snapshot: ManifestSnapshot, document_ids: Collection[DocumentId]
) -> tuple[dict[DocumentId, DocumentState], Position]:
    """The states of those that have any event, and the position they are true at."""
    stored = stored_states(snapshot, document_ids)
    return {document_id: one.state for document_id, one in stored.items()}, snapshot.position


def all_states(snapshot: ManifestSnapshot) -> Iterator[DocumentState]:
    """Every state, by document_id."""
    table = snapshot.tables.states
    rows = snapshot.connection.execution_options(yield_per=SCAN_ROWS).execute(
        select(table.c.state, table.c.live).order_by(table.c.document_id)
    )
    for state, live in rows:
        yield _state(state, live)


def known_requests(snapshot: ManifestSnapshot, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
    """For which documents those of `request_ids` were taken that ever were, answered or not."""
    query, key = _requests_query(snapshot.tables.requests)
    rows = rows_among(snapshot.connection, query, key, set(request_ids))
    return {(document_id, request_id) for document_id, request_id in rows}


def taken_offset(snapshot: ManifestSnapshot, log_id: str, partition: int) -> int:
    """The offset of `requests` after the last one taken from the log `log_id`; 0 if none was."""
    table = snapshot.tables.taken
    offset: int | None = snapshot.connection.scalar(
        select(table.c.next_offset).where(table.c.log_id == log_id, table.c.partition == partition)
    )
    return offset or 0


def open_requests(
    snapshot: ManifestSnapshot,
    partition: int,
    *,
    priority: Priority,
    after_order: int,
    limit: int,
    without_jobs: Collection[JobId] = (),
) -> list[QueueEntry]:
    """Open requests with ``order > after_order``, lowest first, leaving out those of `without_jobs`."""
    c = snapshot.tables.requests.c
    query = (
        select(c.order, c.document_id, c.request_id, c.job_id, c.retry_at, c.is_started)
        .where(c.answer_kind.is_(None), c.partition == partition, c.priority == str(priority), c.order > after_order)
        .order_by(c.order)
        .limit(limit)
    )
    if without_jobs:
        query = query.where(or_(c.job_id.is_(None), c.job_id.not_in(sorted(without_jobs))))
    return [
        QueueEntry(
            order=order,
            document_id=document_id,
            request_id=request_id,
            job_id=job_id,
            priority=priority,
            retry_at=optional_moment_of(retry_at),
            is_started=is_started,
        )
        for order, document_id, request_id, job_id, retry_at, is_started in snapshot.connection.execute(query)
    ]


def started_documents(snapshot: ManifestSnapshot, partition: int) -> list[DocumentId]:
    """The documents of which a request may be started and not answered, failed or released; never one too few."""
    c = snapshot.tables.requests.c
    query = select(c.document_id).where(c.answer_kind.is_(None), c.is_started, c.partition == partition)
    return sorted(set(snapshot.connection.scalars(query)))


def known_documents(
    snapshot: ManifestSnapshot, document_ids: Collection[DocumentId]
) -> dict[DocumentId, KnownDocument]:
    """What a planner needs of those that have any answer or a live version."""
    query, key = _known_query(snapshot.tables.documents)
    rows = rows_among(snapshot.connection, query, key, document_ids)
    findings = optional_values_of(Finding, [row[4] for row in rows])
    return {row[0]: _known(row, finding) for row, finding in zip(rows, findings, strict=True)}


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _states_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    return select(c.document_id, c.first_offset, c.state, c.live), c.document_id


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _requests_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    return select(c.document_id, c.request_id), c.request_id


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _known_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    columns = (
        c.document_id,
        c.uri,
        c.source_root,
        c.completed_at,
        c.finding,
        c.content_hash,
        c.fingerprint,
        c.media_type,
        c.metadata,
        c.failed_finding,
        c.failed_parameters,
        c.error_class,
    )
    return select(*columns).where(c.answer_kind.is_not(None)), c.document_id


def _live_json(live: DocumentCompleted | None, before: StoredState | None) -> str | None:
    if live is None:
        return None
    return before.live_json if before is not None and live is before.state.live else json_of(live)


def _state(state: str, live: str | None) -> DocumentState:
    value = value_of(DocumentState, state)
    return value if live is None else replace(value, live=value_of(DocumentCompleted, live))


def _known(row: Sequence[Any], finding: Finding | None) -> KnownDocument:
    # The columns of `_known_query`, in its order.
    (
        document_id,
        uri,
        source_root,
        completed_at,
        _,
        content_hash,
        fingerprint,
        media_type,
        metadata,
        failed_finding,
        failed_parameters,
        error_class,
    ) = row
    is_live = completed_at is not None
    return KnownDocument(
        document_id,
        uri,
        source_root,
        is_live,
        finding,
        content_hash,
        fingerprint,
        media_type,
        mapping_of(metadata) if is_live else None,
        value_of(Finding, failed_finding) if failed_finding else None,
        mapping_of(failed_parameters) if error_class else None,
        error_class or "",
    )
