"""Drafts that say nothing but their names, for tests of the log itself."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.events import DocumentRequested, Meta
from schemas.ids import document_id_of, event_id_of
from streams.log import Draft

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def requested(uri: str) -> Draft:
    """A request for `uri`."""
    meta = Meta(event_id=event_id_of(uri, "test"), occurred_at=NOON, pipeline_id="run-1")
    return Draft("requests", "key", DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri))
