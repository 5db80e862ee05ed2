"""The manifest: every document's state and history, and the queue of open requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from projections.manifest import document_queries, queries
from projections.manifest.rows import ManifestChange, ManifestRows
from projections.manifest.tables import ManifestTables, manifest_tables
from projections.sql.dialects import upsert
from projections.sql.store import Snapshot
from projections.sql.view import SqlView, answers
from schemas.events import DocumentEvent
from streams.documents.state import DocumentState
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
        with self.read() as snapshot:
            yield from queries.all_states(snapshot)

    # What slots and planners ask (`streams/documents/states.py`).
    states = answers(queries.states)
    known_requests = answers(queries.known_requests)
    taken_offset = answers(queries.taken_offset)
    open_requests = answers(queries.open_requests)
    started_documents = answers(queries.started_documents)
    known_documents = answers(queries.known_documents)
    live_under = answers(document_queries.live_under)
    live_below = answers(document_queries.live_below)

    # What people ask.
    documents = answers(document_queries.documents)
    document = answers(document_queries.document)
    history = answers(document_queries.history)
    counts = answers(document_queries.counts)
    dead_letters = answers(document_queries.dead_letters)
