"""What is asked of the manifest's documents, beside their states: lists of them, one of them, counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

from projections.manifest.entries import (
    DeadLetter,
    DocumentStatus,
    FinalFailure,
    HistoryEntry,
    ManifestCounts,
    ManifestDocument,
)
from projections.manifest.queries import ManifestSnapshot
from projections.sql.dialects import AFTER_EVERY_TEXT, by_beginning, sorted_by
from projections.sql.values import mapping_of, moment_of, optional_moment_of, value_of
from schemas.events import Finding
from schemas.ids import DocumentId, document_id_of

_MAY_BE_LIVE = (DocumentStatus.LIVE, DocumentStatus.FAILED)
"""A document whose last answer is a failure may have an older version that is live."""


def live_under(
    snapshot: ManifestSnapshot, source_root: str, *, after: DocumentId | None, limit: int
) -> list[tuple[DocumentId, str]]:
    """Live documents that a source of that root brought, with their uris, by document_id, after `after`."""
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


def live_below(
    snapshot: ManifestSnapshot, uri_prefix: str, *, after: str | None, limit: int
) -> list[tuple[DocumentId, str]]:
    """Live documents whose uri begins with `uri_prefix`, from any source, by uri, after the uri `after`."""
    c = snapshot.tables.documents.c
    query = select(c.document_id, c.uri).where(c.completed_at.is_not(None), *_between(snapshot, uri_prefix, after))
    return [(row.document_id, row.uri) for row in _by_uri(snapshot, query, _MAY_BE_LIVE, limit)]


def documents(
    snapshot: ManifestSnapshot,
    *,
    status: DocumentStatus | None = None,
    uri_prefix: str | None = None,
    limit: int,
    after: str | None = None,
) -> list[ManifestDocument]:
    """Documents by uri, after the uri `after`."""
    query = select(snapshot.tables.documents).where(*_between(snapshot, uri_prefix, after))
    rows = _by_uri(snapshot, query, [status] if status is not None else DocumentStatus, limit)
    return [_document(row) for row in rows]


def document(snapshot: ManifestSnapshot, id_or_uri: str) -> ManifestDocument | None:
    """The document with that id or canonical uri."""
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


def dead_letters(snapshot: ManifestSnapshot, *, limit: int, after: str | None = None) -> list[DeadLetter]:
    """Documents whose last answer is a final failure, by uri, after the uri `after`."""
    failed = documents(snapshot, status=DocumentStatus.FAILED, limit=limit, after=after)
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


def _between(snapshot: ManifestSnapshot, uri_prefix: str | None, after: str | None) -> list[ColumnElement[bool]]:
    """What holds of uris that begin with `uri_prefix` and sort behind `after`."""
    c, dialect = snapshot.tables.documents.c, snapshot.connection.dialect
    wanted: list[ColumnElement[bool]] = []
    if uri_prefix:
        uri, beginning = by_beginning(dialect, c.uri, uri_prefix)
        wanted += [c.uri >= uri_prefix, c.uri < uri_prefix + AFTER_EVERY_TEXT]
        wanted += [uri >= beginning, uri < beginning + AFTER_EVERY_TEXT]
    if after is not None:
        uri, beginning = by_beginning(dialect, c.uri, after)
        wanted += [c.uri > after, uri >= beginning]
    return wanted


def _by_uri(
    snapshot: ManifestSnapshot, query: Select[Any], statuses: Iterable[DocumentStatus], limit: int
) -> Iterator[Row[Any]]:
    """The first rows of `query` by uri; one index answers it: by status, and by uri within it."""
    c, dialect = snapshot.tables.documents.c, snapshot.connection.dialect
    query = query.order_by(*sorted_by(dialect, c.uri)).limit(limit)
    runs = [snapshot.connection.execute(query.where(c.status == str(status))).all() for status in statuses]
    return islice(merge(*runs, key=lambda row: row.uri), limit)


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
