"""Ids that can be computed again, so that doing a thing twice gives the same id.

All ids are uuid5 (RFC 9562, SHA-1) in their canonical lower-case string form; they stay strings everywhere, because
the log, the views and JSON all carry them so. Random ids (uuid4) begin a chain only where a person or a client asks for
something.
"""

from __future__ import annotations

import uuid
from hashlib import sha1
from typing import NewType

DocumentId = NewType("DocumentId", str)
EventId = NewType("EventId", str)
JobId = NewType("JobId", str)
ChunkId = NewType("ChunkId", str)

_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The two highest bits of the digit that RFC 9562 gives to the variant are 10."""

_EVENT_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "refold:event")


def document_id_of(uri: str) -> DocumentId:
    """The id of the document at canonical `uri`: uuid5 in the URL namespace."""
    return DocumentId(_uuid5(uuid.NAMESPACE_URL.bytes, uri))


def event_id_of(cause: str, kind: str, ordinal: int | str = 0) -> EventId:
    """The id of the `ordinal`-th event of `kind` that `cause` (an event or job id) brings about."""
    return EventId(_uuid5(_EVENT_NAMESPACE.bytes, f"{cause}/{kind}/{ordinal}"))


def chunk_id_of(document_id: str, version: int, ordinal: int) -> ChunkId:
    """The id of a chunk in both indexes: uuid5(document_id, "version:ordinal")."""
    return ChunkId(_uuid5(bytes.fromhex(document_id.replace("-", "")), f"{version}:{ordinal}"))


def chunk_ids_of(document_id: str, version: int, chunk_count: int) -> list[ChunkId]:
    """The ids of all chunks of a version, by ordinal."""
    return [chunk_id_of(document_id, version, ordinal) for ordinal in range(chunk_count)]


def random_id() -> str:
    """A new random id (uuid4), for what a person or a client asks for."""
    return str(uuid.uuid4())


def _uuid5(namespace: bytes, name: str) -> str:
    # uuid.uuid5 spends most of its time in UUID's constructor; index reconciliation computes one id per chunk.
    digest = sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"
