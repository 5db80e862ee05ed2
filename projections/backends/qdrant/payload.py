"""What qdrant-edge keeps besides a vector, and filters over it.

The driver converts payloads slowly (4 µs a string), so all that the chunks of a document share is one JSON string that
begins with the uri. Its own filters read that string for prefixes and parts, which lets too much pass at times; what
was found is checked exactly (`projections/backends/matching.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import qdrant_edge as qe

from projections.backends.matching import literals_of, modified_range
from projections.index.backend import DocumentAttributes, Filters, IndexedChunk
from schemas.ids import DocumentId

DOCUMENT = "document"
ORDINAL = "ordinal"
MODIFIED = "modified_at_ns"


class _Document(TypedDict):
    uri: str  # first, so that a prefix of the uri is a prefix of the string
    source: str | None
    media_type: str
    metadata: dict[str, str]
    modified_at_ns: int | None
    document_id: str
    version: int


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What a payload says of its chunk."""

    document_id: DocumentId
    version: int
    ordinal: int
    attributes: DocumentAttributes


class Packer:
    """Makes payloads, packing once what a document's chunks share; the caller holds all chunks until it is done."""

    def __init__(self) -> None:
        self._packed: dict[tuple[str, int, int], str] = {}

    def payload(self, chunk: IndexedChunk) -> dict[str, str | int]:
        """The payload of `chunk`."""
        key = (chunk.document_id, chunk.version, id(chunk.attributes))
        document = self._packed.get(key)
        if document is None:
            document = self._packed[key] = _packed(chunk)
        payload: dict[str, str | int] = {ORDINAL: chunk.ordinal, DOCUMENT: document}
        if chunk.attributes.modified_at_ns is not None:
            payload[MODIFIED] = chunk.attributes.modified_at_ns
        return payload


def unpacked(payload: qe.Payload) -> StoredChunk:
    """What `payload` says."""
    document: _Document = json.loads(payload[DOCUMENT])
    attributes = DocumentAttributes(
        uri=document["uri"],
        source_root=document["source"],
        media_type=document["media_type"],
        modified_at_ns=document["modified_at_ns"],
        metadata=document["metadata"],
    )
    return StoredChunk(DocumentId(document["document_id"]), document["version"], payload[ORDINAL], attributes)


def stored_in(payload: Mapping[str, Any] | None) -> StoredChunk | None:
    """What `payload` says; None where it is not one of refold's."""
    try:
        return unpacked(dict(payload or {}))
    except (KeyError, ValueError, TypeError):
        return None


def native_filter(filters: Filters | None) -> qe.Filter | None:
    """A filter of the driver's that lets pass at least what `filters` do; None where nothing can be left out."""
    if filters is None:
        return None
    # Each condition reads the payload of what passed the one before: the narrowest come first.
    conditions: list[qe.ConditionType] = []
    if filters.uri_prefix is not None:
        conditions.append(_uri_begins(filters.uri_prefix))
    if filters.uri_glob is not None:
        first, *others = literals_of(filters.uri_glob)
        conditions += [_uri_begins(first), *(_holds(_inner(other)) for other in others if other)]
    conditions += [_holds(pair) for pair in _pairs(filters)]
    if (modified := modified_range(filters)) is not None:
        within = qe.RangeFloat(gte=modified[0], lte=modified[1])
        conditions.append(qe.FieldCondition(key=MODIFIED, range=within))
    return qe.Filter(must=conditions) if conditions else None


def _packed(chunk: IndexedChunk) -> str:
    attributes = chunk.attributes
    document = _Document(
        uri=attributes.uri,
        source=attributes.source_root,
        media_type=attributes.media_type,
        metadata=dict(attributes.metadata),
        modified_at_ns=attributes.modified_at_ns,
        document_id=chunk.document_id,
        version=chunk.version,
    )
    return json.dumps(document)


def _pairs(filters: Filters) -> list[str]:
    """What the packed string of every document that passes holds, spelled as `_packed` spells it."""
    pairs = [_pair(key, value) for key, value in filters.metadata.items()]
    if filters.source is not None:
        pairs.append(_pair("source", filters.source))
    if filters.media_type is not None:
        pairs.append(_pair("media_type", filters.media_type))
    return pairs


def _pair(key: str, value: str) -> str:
    return _inner_of(json.dumps({key: value}))


def _inner(text: str) -> str:
    return _inner_of(json.dumps(text))


def _inner_of(spelled: str) -> str:
    return spelled[1:-1]


def _uri_begins(prefix: str) -> qe.FieldCondition:
    return qe.FieldCondition(key=DOCUMENT, match=qe.MatchPrefix('{"uri": "' + _inner(prefix)))


def _holds(part: str) -> qe.FieldCondition:
    return qe.FieldCondition(key=DOCUMENT, match=qe.MatchSubstring(part))
