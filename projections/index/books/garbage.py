"""Chunks that an index no longer answers with and that wait to be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from projections.index.books.tables import GARBAGE
from projections.index.chunk_ids import ID_BYTES
from schemas.ids import DocumentId


@dataclass(frozen=True, slots=True)
class Garbage:
    """Ids of chunks of one version, packed; queries that were running at `since_us` may still want them."""

    document_id: DocumentId
    version: int
    ids: bytes
    since_us: int


@dataclass(frozen=True, slots=True)
class DueGarbage:
    """Garbage that may be deleted: its rows and their ids, packed."""

    keys: Sequence[int]
    ids: bytes


def put_garbage(connection: Connection, generation_key: int, garbage: Sequence[Garbage]) -> None:
    """Add `garbage`."""
    rows = [
        {
            "generation_key": generation_key,
            "document_id": one.document_id,
            "version": one.version,
            "ids": one.ids,
            "since_us": one.since_us,
        }
        for one in garbage
        if one.ids
    ]
    if rows:
        connection.execute(GARBAGE.insert(), rows)


def spare_served(connection: Connection, generation_key: int, versions: Sequence[tuple[DocumentId, int]]) -> None:
    """Take `versions` out of garbage: they are served now.

    A version gets there before it is served where a repair swept up what a dying process had written of it.
    """
    if versions:
        delete = GARBAGE.delete().where(
            GARBAGE.c.generation_key == generation_key,
            GARBAGE.c.document_id == bindparam("spared_id"),
            GARBAGE.c.version == bindparam("spared_version"),
        )
        connection.execute(delete, [{"spared_id": one, "spared_version": version} for one, version in versions])


def read_due(connection: Connection, generation_key: int, *, before_us: int, max_ids: int) -> DueGarbage:
    """The oldest garbage from before `before_us`: about `max_ids` ids, but at least one row if there is any."""
    query = (
        select(GARBAGE.c.key, GARBAGE.c.ids)
        .where(GARBAGE.c.generation_key == generation_key, GARBAGE.c.since_us <= before_us)
        .order_by(GARBAGE.c.since_us, GARBAGE.c.key)
    )
    keys: list[int] = []
    ids = bytearray()
    with connection.execution_options(stream_results=True).execute(query) as rows:
        for key, packed in rows:
            keys.append(key)
            ids += packed
            if len(ids) >= max_ids * ID_BYTES:
                break
    return DueGarbage(keys, bytes(ids))


def forget_garbage(connection: Connection, keys: Sequence[int]) -> None:
    """Drop rows whose chunks are gone."""
    if keys:
        connection.execute(GARBAGE.delete().where(GARBAGE.c.key == bindparam("gone")), [{"gone": key} for key in keys])


def read_garbage_ids(connection: Connection, generation_key: int) -> bytes:
    """All ids in garbage, packed."""
    query = select(GARBAGE.c.ids).where(GARBAGE.c.generation_key == generation_key)
    return b"".join(connection.execute(query).scalars())


def count_garbage(connection: Connection, generation_key: int) -> int:
    """How many ids are in garbage."""
    query = select(func.coalesce(func.sum(func.length(GARBAGE.c.ids)), 0)).where(
        GARBAGE.c.generation_key == generation_key
    )
    return int(connection.execute(query).scalar_one()) // ID_BYTES
