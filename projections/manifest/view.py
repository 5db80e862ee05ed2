"""The manifest: every document's state and history, and the queue of open requests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from projections.manifest import document_queries, queries
from projections.manifest.entries import DeadLetter, DocumentStatus, HistoryEntry, ManifestCounts, ManifestDocument
from projections.manifest.rows import ManifestChange, ManifestRows
from projections.manifest.tables import ManifestTables, manifest_tables
from projections.sql.dialects import upsert
from projections.sql.store import Snapshot
from projections.sql.view import SqlView
from schemas.events import DocumentEvent, Priority
from schemas.ids import DocumentId, EventId, JobId
from schemas.positions import Position
from streams.documents.state import DocumentState
from streams.documents.states import KnownDocument, QueueEntry
from streams.log import Recorded


class ManifestProjection:
    """Every event of `documents` is folded by the view; `streams/documents/evolve.py` holds the fold."""

    name = "manifest"
    version = 2
    topics: Sequence[str] = ("documents",)

    def changes(self, recorded: Recorded) -> Sequence[ManifestChange]:
        """The event with its place."""
        if not isinstance(recorded.event, DocumentEvent):
            return ()
        return (ManifestChange(recorded.event, recorded.partition, recorded.offset),)


class ManifestView(SqlView[ManifestTables, ManifestChange]):
    """The manifest in SQL; implements `DocumentStates`."""

    projection = ManifestProjection()
    tables = staticmethod(manifest_tables)

    def _write(self, snapshot: Snapshot[ManifestTables], changes: Sequence[ManifestChange]) -> None:
        # A statement per table each way: load the states of the documents concerned, fold, write back.
        loaded = queries.stored_states(snapshot, {change.event.document_id for change in changes})
        batch = ManifestRows(
            {document_id: stored.state for document_id, stored in loaded.items()},
            {document_id: stored.first_offset for document_id, stored in loaded.items()},
        )
        for change in changes:
            batch.fold(change)

        connection, tables = snapshot.connection, snapshot.tables
        upsert(connection, tables.documents, batch.documents())
        upsert(connection, tables.states, queries.state_rows(batch.changed(), loaded))
        upsert(connection, tables.requests, batch.requests())
        upsert(connection, tables.taken, batch.taken(), highest=["next_offset"])
        upsert(connection, tables.history, batch.history)

    def scan(self) -> Iterator[DocumentState]:
        """The state of every document, by document_id, in one snapshot that stands while this is read."""
        with self._store.read() as snapshot:
            yield from queries.all_states(snapshot)

    # What slots and planners ask (`streams/documents/states.py`).

    def states(self, document_ids: Collection[DocumentId]) -> tuple[Mapping[DocumentId, DocumentState], Position]:
        """The states of those that have any event, and the position they are true at."""
        with self._store.read() as snapshot:
            return queries.states(snapshot, document_ids), snapshot.position

    def known_requests(self, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
        """For which documents those of `request_ids` were taken that ever were, answered or not."""
        with self._store.read() as snapshot:
            return queries.known_requests(snapshot, request_ids)

    def taken_offset(self, log_id: str, partition: int) -> int:
        """The offset of `requests` after the last one taken from the log `log_id`; 0 if none was."""
        with self._store.read() as snapshot:
            return queries.taken_offset(snapshot, log_id, partition)

    def open_requests(
        self,
        partition: int,
        *,
        priority: Priority,
        after_order: int,
        limit: int,
        without_jobs: Collection[JobId] = (),
    ) -> Sequence[QueueEntry]:
        """Open requests with ``order > after_order``, lowest first, leaving out those of `without_jobs`."""
        with self._store.read() as snapshot:
            return queries.open_requests(
                snapshot,
                partition,
                priority=priority,
                after_order=after_order,
                limit=limit,
                without_jobs=without_jobs,
            )

    def started_documents(self, partition: int) -> Sequence[DocumentId]:
        """The documents of which a request may be started and not answered, failed or released; never one too few."""
        with self._store.read() as snapshot:
            return queries.started_documents(snapshot, partition)

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        """What a planner needs of those that have any answer or a live version."""
        with self._store.read() as snapshot:
            return queries.known_documents(snapshot, document_ids)

    def live_under(self, source_root: str, *, after: DocumentId | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        """Live documents that a source of that root brought, with their uris, by document_id, after `after`."""
        with self._store.read() as snapshot:
            return document_queries.live_under(snapshot, source_root, after=after, limit=limit)

    def live_below(self, uri_prefix: str, *, after: str | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        """Live documents whose uri begins with `uri_prefix`, whoever brought them, by uri, after the uri `after`."""
        with self._store.read() as snapshot:
            return document_queries.live_below(snapshot, uri_prefix, after=after, limit=limit)

    # What people ask.

    def documents(
        self,
        *,
        status: DocumentStatus | None = None,
        uri_prefix: str | None = None,
        limit: int,
        after: str | None = None,
    ) -> Sequence[ManifestDocument]:
        """Documents by uri, after the uri `after`."""
        with self._store.read() as snapshot:
            return document_queries.documents(snapshot, status=status, uri_prefix=uri_prefix, limit=limit, after=after)

    def document(self, id_or_uri: str) -> ManifestDocument | None:
        """The document with that id or canonical uri."""
        with self._store.read() as snapshot:
            return document_queries.document(snapshot, id_or_uri)

    def history(self, document_id: DocumentId) -> Sequence[HistoryEntry]:
        """All events of a document, oldest first."""
        with self._store.read() as snapshot:
            return document_queries.history(snapshot, document_id)

    def counts(self) -> ManifestCounts:
        """How many documents, chunks and open requests there are."""
        with self._store.read() as snapshot:
            return document_queries.counts(snapshot)

    def dead_letters(self, *, limit: int, after: str | None = None) -> Sequence[DeadLetter]:
        """Documents whose last answer is a final failure, by uri, after the uri `after`."""
        with self._store.read() as snapshot:
            return document_queries.dead_letters(snapshot, limit=limit, after=after)
