"""Versions an index should serve and could not: refused ones, and ones that await their vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from projections.index.books.tables import PARKED
from projections.index.changes import ServeVersion
from projections.sql.dialects import portions, upsert
from projections.sql.values import json_of, value_of
from schemas.ids import DocumentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A version that could not be applied; what was served before it still is.

    `is_awaiting` means that nothing is wrong but that it has no vectors of the index's embedder yet. It goes when a
    later version or the removal of the document is applied, or when it could be written after all.
    """

    change: ServeVersion
    is_awaiting: bool
    error_code: str
    message: str
    hint: str | None
    parked_at_us: int


def read_parked(
    connection: Connection, generation_key: int, document_ids: Collection[DocumentId] | None = None
) -> dict[DocumentId, Parked]:
    """The parked versions of `document_ids`, or of all documents if that is None."""
    query = select(PARKED).where(PARKED.c.generation_key == generation_key).order_by(PARKED.c.document_id)
    if document_ids is None:
        return {row.document_id: _parked(row) for row in connection.execute(query)}
    return {
        row.document_id: _parked(row)
        for ids in portions(document_ids)
        for row in connection.execute(query.where(PARKED.c.document_id.in_(ids)))
    }


def count_parked(connection: Connection, generation_key: int) -> tuple[int, int]:
    """How many documents are parked, and how many await vectors."""
    query = (
        select(PARKED.c.is_awaiting, func.count())
        .where(PARKED.c.generation_key == generation_key)
        .group_by(PARKED.c.is_awaiting)
    )
    counts = {bool(is_awaiting): int(count) for is_awaiting, count in connection.execute(query)}
    return counts.get(False, 0), counts.get(True, 0)


def put_parked(connection: Connection, generation_key: int, parked: Sequence[Parked]) -> None:
    """Write rows, replacing those of the same documents."""
    upsert(connection, PARKED, [_row(generation_key, one) for one in parked])


def clear_parked(connection: Connection, generation_key: int, document_ids: Sequence[DocumentId]) -> None:
    """Forget what is parked of `document_ids`."""
    if document_ids:
        delete = PARKED.delete().where(
            PARKED.c.generation_key == generation_key, PARKED.c.document_id == bindparam("cleared_id")
        )
        connection.execute(delete, [{"cleared_id": document_id} for document_id in document_ids])


def _row(generation_key: int, parked: Parked) -> Mapping[str, Any]:
    return {
        "generation_key": generation_key,
        "document_id": parked.change.document_id,
        "sequence": parked.change.sequence,
        "change": json_of(parked.change),
        "is_awaiting": parked.is_awaiting,
        "error_code": parked.error_code,
        "message": parked.message,
        "hint": parked.hint,
        "parked_at_us": parked.parked_at_us,
    }


def _parked(row: Any) -> Parked:
    return Parked(
        change=value_of(ServeVersion, row.change),
        is_awaiting=row.is_awaiting,
        error_code=row.error_code,
        message=row.message,
        hint=row.hint,
        parked_at_us=row.parked_at_us,
    )
