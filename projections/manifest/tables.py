"""The tables of one generation of the manifest.

Document ids are as good as random, so whatever is sorted by them is written page by page. Rows stand in the order they
came in (a history by its document's first offset), because what comes in together changes together: a batch then
touches few pages.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text

from projections.sql.dialects import SORTED_TEXT, beginning


@dataclass(frozen=True, slots=True)
class ManifestTables:
    """Narrow rows to plan, list and choose by, and beside them each document's whole state."""

    metadata: MetaData
    documents: Table
    states: Table
    requests: Table
    taken: Table
    history: Table


def manifest_tables(generation: int) -> ManifestTables:
    """The tables of that generation."""
    metadata = MetaData()
    prefix = f"manifest_{generation}"
    return ManifestTables(
        metadata=metadata,
        documents=_documents(metadata, prefix),
        states=Table(
            f"{prefix}_states",
            metadata,
            Column("document_id", SORTED_TEXT, primary_key=True),
            Column("partition", Integer, nullable=False),
            Column("first_offset", BigInteger, nullable=False),  # of its first event: where its history stands
            Column("state", Text, nullable=False),  # DocumentState as JSON, without `live`
            Column("live", Text),  # its DocumentCompleted as JSON
        ),
        requests=_requests(metadata, prefix),
        taken=Table(
            f"{prefix}_taken",
            metadata,
            Column("log_id", Text, primary_key=True),
            Column("partition", Integer, primary_key=True, autoincrement=False),
            Column("next_offset", BigInteger, nullable=False),
        ),
        history=_history(metadata, prefix),
    )


def _documents(metadata: MetaData, prefix: str) -> Table:
    documents = Table(
        f"{prefix}_documents",
        metadata,
        Column("document_id", SORTED_TEXT, primary_key=True),
        Column("uri", SORTED_TEXT, nullable=False),
        Column("source_root", Text),
        Column("status", Text, nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("version", Integer, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("content_hash", Text, nullable=False),
        Column("media_type", Text, nullable=False),
        Column("title", Text),
        Column("chunk_count", Integer, nullable=False),
        Column("metadata", Text),  # JSON; null where empty
        Column("finding", Text),  # Finding as JSON
        Column("completed_at", BigInteger),  # of the live version; null where nothing is live
        Column("updated_at", BigInteger, nullable=False),
        Column("open_requests", Integer, nullable=False),
        Column("answer_kind", Text),
        Column("answer_request", Text),
        Column("answered_at", BigInteger),
        Column("failed_stage", Text),
        Column("error_class", Text),
        Column("error_code", Text),
        Column("message", Text),
        Column("hint", Text),
        Column("attempt", Integer),
        Column("failed_finding", Text),  # Finding as JSON
        Column("failed_parameters", Text),  # JSON
    )
    # Uris have any length, but not in PostgreSQL's indexes.
    uri, root, is_live = documents.c.uri, documents.c.source_root, documents.c.completed_at.is_not(None)
    for dialect, indexed in (("sqlite", uri), ("postgresql", beginning(uri))):
        Index(f"{prefix}_by_status", documents.c.status, indexed).ddl_if(dialect=dialect)
    for dialect, indexed in (("sqlite", root), ("postgresql", beginning(root))):
        under = Index(
            f"{prefix}_live_under",
            indexed,
            documents.c.document_id,
            sqlite_where=is_live,
            postgresql_where=is_live,
        )
        under.ddl_if(dialect=dialect)
    return documents


def _requests(metadata: MetaData, prefix: str) -> Table:
    requests = Table(
        f"{prefix}_requests",
        metadata,
        # By request first: a document may have thousands, and one id may have been taken for two documents once.
        Column("request_id", Text, primary_key=True),
        Column("document_id", SORTED_TEXT, primary_key=True),
        Column("partition", Integer, nullable=False),
        Column("order", BigInteger, nullable=False),
        Column("job_id", Text),
        Column("action", Text, nullable=False),
        Column("priority", Text, nullable=False),
        Column("is_started", Boolean, nullable=False),
        Column("retry_at", BigInteger),
        Column("answer_kind", Text),  # null while it is open
    )
    Index(
        f"{prefix}_queue",
        requests.c.partition,
        requests.c.priority,
        requests.c.order,
        requests.c.job_id,
        sqlite_where=requests.c.answer_kind.is_(None),
        postgresql_where=requests.c.answer_kind.is_(None),
    )
    in_work = requests.c.answer_kind.is_(None) & requests.c.is_started
    Index(f"{prefix}_started", requests.c.partition, sqlite_where=in_work, postgresql_where=in_work)
    return requests


def _history(metadata: MetaData, prefix: str) -> Table:
    return Table(
        f"{prefix}_history",
        metadata,
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("first_offset", BigInteger, primary_key=True, autoincrement=False),
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
        Column("offset", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("occurred_at", BigInteger, nullable=False),
        Column("version", Integer, nullable=False),
        Column("summary", Text, nullable=False),
        sqlite_with_rowid=False,
    )
