"""The events that a comparison of indexes leads to: what it has found, and the repair of that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from projections.consistency.report import VerifyReport
from schemas.events import ConsistencyVerified, Meta, RepairRequested
from schemas.ids import DocumentId, event_id_of
from streams.log import Draft

REPAIR_DOCUMENTS = 1_000
"""Documents named in one RepairRequested."""


def consistency_drafts(report: VerifyReport, *, pipeline_id: str, now: datetime, cause: str) -> list[Draft]:
    """The events that keep `report`, one per index; `cause` is a new random id, because a person asked."""
    return [
        Draft(
            "operations",
            name,
            ConsistencyVerified(
                meta=_meta(ConsistencyVerified, ordinal, pipeline_id=pipeline_id, now=now, cause=cause),
                index=name,
                generation=index.generation,
                position=str(index.position),
                is_consistent=index.is_consistent,
                counts=index.counts,
            ),
        )
        for ordinal, (name, index) in enumerate(report.indexes.items())
    ]


def repair_drafts(report: VerifyReport, *, pipeline_id: str, now: datetime, cause: str) -> list[Draft]:
    """What asks each index to write its damaged documents again and to sweep up the rest; empty if none is damaged.

    `cause` is a new random id. Documents that are misserved are beyond this: their index has to be rebuilt.
    """
    damaged = {name: index.damaged for name, index in report.indexes.items()}
    return rewrite_drafts(damaged, pipeline_id=pipeline_id, now=now, cause=cause)


def rewrite_drafts(
    documents: Mapping[str, Collection[DocumentId]], *, pipeline_id: str, now: datetime, cause: str
) -> list[Draft]:
    """What asks indexes, by name, to write documents again; parked versions among them are tried again."""
    asked = [
        (name, sorted(ids)[start : start + REPAIR_DOCUMENTS])
        for name, ids in documents.items()
        for start in range(0, len(ids), REPAIR_DOCUMENTS)
    ]
    return [
        Draft(
            "operations",
            name,
            RepairRequested(
                meta=_meta(RepairRequested, ordinal, pipeline_id=pipeline_id, now=now, cause=cause),
                index=name,
                document_ids=document_ids,
            ),
        )
        for ordinal, (name, document_ids) in enumerate(asked)
    ]


def _meta(kind: type, ordinal: int, *, pipeline_id: str, now: datetime, cause: str) -> Meta:
    return Meta(event_id=event_id_of(cause, kind.__name__, ordinal), occurred_at=now, pipeline_id=pipeline_id)
