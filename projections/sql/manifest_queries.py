"""What is asked of the manifest's tables, in one snapshot each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, func, or_, select

from projections.manifest_entries import (
    DeadLetter,
    DocumentStatus,
    FinalFailure,
    HistoryEntry,
    ManifestCounts,
    ManifestDocument,
)
from projections.sql.dialects import AFTER_EVERY_TEXT, SCAN_ROWS, by_beginning, sorted_by
from projections.sql.lookups import rows_among
from projections.sql.manifest_tables import ManifestTables
from projections.sql.values import json_of, mapping_of, moment_of, optional_moment_of, optional_values_of, value_of
from projections.sql.view_store import Snapshot
from schemas.events import DocumentCompleted, Finding, Priority
from schemas.ids import DocumentId, EventId, JobId, document_id_of
from streams.document_state import DocumentState
from streams.document_states import KnownDocument, QueueEntry

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


def states(snapshot: ManifestSnapshot, document_ids: Collection[DocumentId]) -> dict[DocumentId, DocumentState]:
    """The states of those that have any event."""
    return {document_id: stored.state for document_id, stored in stored_states(snapshot, document_ids).items()}


def all_states(snapshot: ManifestSnapshot) -> Iterator[DocumentState]:
    """Every state, by document_id."""
    table = snapshot.tables.states
    rows = snapshot.connection.execution_options(yield_per=SCAN_ROWS).execute(
        select(table.c.state, table.c.live).order_by(table.c.document_id)
    )
    for state, live in rows:
        yield _state(state, live)


def known_requests(snapshot: ManifestSnapshot, request_ids: Collection[tuple[DocumentId, EventId]]) -> set[EventId]:
    """Those of `request_ids` that were ever taken for their document."""
    query, key = _requests_query(snapshot.tables.requests)
    wanted = set(request_ids)
    rows = rows_among(snapshot.connection, query, key, {document_id for document_id, _ in wanted})
    return {request_id for document_id, request_id in rows if (document_id, request_id) in wanted}


def taken_offset(snapshot: ManifestSnapshot, log_id: str, partition: int) -> int:
    """The offset of `requests` after the last one taken; 0 if none was."""
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
    without_jobs: Collection[JobId],
) -> list[QueueEntry]:
    """Open requests of a partition and priority in taken order."""
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


def known_documents(
    snapshot: ManifestSnapshot, document_ids: Collection[DocumentId]
) -> dict[DocumentId, KnownDocument]:
    """What a planner needs of those that have any answer or a live version."""
    query, key = _known_query(snapshot.tables.documents)
    rows = rows_among(snapshot.connection, query, key, document_ids)
    findings = optional_values_of(Finding, [row[4] for row in rows])
    return {row[0]: _known(row, finding) for row, finding in zip(rows, findings, strict=True)}


def live_under(
    snapshot: ManifestSnapshot, source_root: str, *, after: DocumentId | None, limit: int
) -> list[tuple[DocumentId, str]]:
    """Live documents found under `source_root`, by document_id."""
    c = snapshot.tables.documents.c
    root, beginning = by_beginning(snapshot.connection.dialect, c.source_root, source_root)
    query = (
        select(c.document_id, c.uri)
        .where(c.completed_at.is_not(None), root == beginning, c.source_root == source_root)
        .where(c.document_id > (after or ""))
        .order_by(c.document_id)
        .limit(limit)
    )
    return [(document_id, uri) for document_id, uri in snapshot.connection.execute(query)]


def documents(
    snapshot: ManifestSnapshot, *, status: DocumentStatus | None, uri_prefix: str | None, limit: int, after: str | None
) -> list[ManifestDocument]:
    """Documents by uri."""
    c, dialect = snapshot.tables.documents.c, snapshot.connection.dialect
    wanted: list[ColumnElement[bool]] = []
    if uri_prefix:
        uri, beginning = by_beginning(dialect, c.uri, uri_prefix)
        wanted += [c.uri >= uri_prefix, c.uri < uri_prefix + AFTER_EVERY_TEXT]
        wanted += [uri >= beginning, uri < beginning + AFTER_EVERY_TEXT]
    if after is not None:
        uri, beginning = by_beginning(dialect, c.uri, after)
        wanted += [c.uri > after, uri >= beginning]
    query = select(snapshot.tables.documents).where(*wanted).order_by(*sorted_by(dialect, c.uri)).limit(limit)
    # One index answers all: by status, and by uri within it.
    runs = [
        snapshot.connection.execute(query.where(c.status == str(each))).all()
        for each in ([status] if status is not None else DocumentStatus)
    ]
    return [_document(row) for row in islice(merge(*runs, key=lambda row: row.uri), limit)]


def document(snapshot: ManifestSnapshot, id_or_uri: str) -> ManifestDocument | None:
    """The document with that id or uri."""
    table = snapshot.tables.documents
    ids = [id_or_uri, document_id_of(id_or_uri)]
    row = snapshot.connection.execute(select(table).where(table.c.document_id.in_(ids))).first()
    return _document(row) if row is not None else None


def history(snapshot: ManifestSnapshot, document_id: DocumentId) -> list[HistoryEntry]:
    """All events of a document, oldest first."""
    state, c = snapshot.tables.states, snapshot.tables.history.c
    query = (
        select(c.sequence, c.partition, c.offset, c.kind, c.occurred_at, c.version, c.summary)
        .join_from(
            state,
            snapshot.tables.history,
            (c.partition == state.c.partition) & (c.first_offset == state.c.first_offset),
        )
        .where(state.c.document_id == document_id)
        .order_by(c.sequence)
    )
    return [
        HistoryEntry(
            sequence=row.sequence,
            partition=row.partition,
            offset=row.offset,
            kind=row.kind,
            occurred_at=moment_of(row.occurred_at),
            version=row.version,
            summary=row.summary,
        )
        for row in snapshot.connection.execute(query)
    ]


def counts(snapshot: ManifestSnapshot) -> ManifestCounts:
    """Documents by status, live chunks, open requests."""
    c = snapshot.tables.documents.c
    sums = func.count(c.completed_at), func.sum(c.chunk_count), func.sum(c.open_requests)
    rows = snapshot.connection.execute(select(c.status, func.count(), *sums).group_by(c.status)).all()
    return ManifestCounts(
        documents={DocumentStatus(status): count for status, count, *_ in rows},
        live_documents=sum(live for _, _, live, _, _ in rows),
        live_chunks=sum(chunks for *_, chunks, _ in rows),
        open_requests=sum(open_requests for *_, open_requests in rows),
        position=snapshot.position,
    )


def dead_letters(snapshot: ManifestSnapshot, *, limit: int, after: str | None) -> list[DeadLetter]:
    """Documents whose last answer is a final failure, by uri."""
    failed = documents(snapshot, status=DocumentStatus.FAILED, uri_prefix=None, limit=limit, after=after)
    return [
        DeadLetter(
            document_id=document.document_id,
            uri=document.uri,
            source_root=document.source_root,
            is_live=document.is_live,
            failure=document.failure,
        )
        for document in failed
        if document.failure is not None
    ]


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _states_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    return select(c.document_id, c.first_offset, c.state, c.live), c.document_id


@lru_cache(maxsize=64)  # tables come and go with rebuilds
def _requests_query(table: Table) -> tuple[Select[Any], ColumnElement[str]]:
    c = table.c
    return select(c.document_id, c.request_id), c.document_id


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


def _document(row: Row[Any]) -> ManifestDocument:
    return ManifestDocument(
        document_id=row.document_id,
        uri=row.uri,
        source_root=row.source_root,
        status=DocumentStatus(row.status),
        is_live=row.completed_at is not None,
        sequence=row.sequence,
        version=row.version,
        fingerprint=row.fingerprint,
        content_hash=row.content_hash,
        media_type=row.media_type,
        title=row.title,
        chunk_count=row.chunk_count,
        metadata=mapping_of(row.metadata),
        finding=value_of(Finding, row.finding) if row.finding else None,
        completed_at=optional_moment_of(row.completed_at),
        updated_at=moment_of(row.updated_at),
        open_requests=row.open_requests,
        answer_kind=row.answer_kind,
        answered_at=optional_moment_of(row.answered_at),
        failure=_failure(row),
    )


def _failure(row: Row[Any]) -> FinalFailure | None:
    if row.error_class is None:
        return None
    return FinalFailure(
        request_id=row.answer_request,
        failed_at=moment_of(row.answered_at),
        stage=row.failed_stage,
        error_class=row.error_class,
        error_code=row.error_code,
        message=row.message,
        hint=row.hint,
        attempt=row.attempt,
    )
