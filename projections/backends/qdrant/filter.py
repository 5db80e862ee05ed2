"""What a Qdrant server keeps besides the payload of `payload.py` to filter by, and filters over it.

Servers compare keywords only as a whole. So a uri is found by its folders, which are its beginnings up to a slash, and
by what it ends in, its name after the last slash and its suffix; the rest of a document by its facets. What a filter
lets pass too much is checked exactly (`../matching.py`): each payload that is looked at for that takes some 10 µs, so
that a pattern with no literal but in its middle (``*draft*``) costs a second at 100,000 chunks if few match.
"""

from __future__ import annotations

from collections.abc import Mapping

from projections.backends.facets import facets_of, term_of, wanted_facets
from projections.backends.matching import literals_of, modified_range
from projections.backends.qdrant.payload import MODIFIED, Packer
from projections.index.backend import DocumentAttributes, Filters, IndexedChunk
from schemas.extras import extra

with extra("qdrant"):
    from qdrant_client import models

FACETS = "facets"
FOLDERS = "folders"

HAS_ENDINGS = term_of("endings", "", "1")
"""In the facets of every point that says what its uri ends in; those that an earlier release wrote do not."""

MOST_FOLDERS = 32
"""Beginnings kept of a uri; deeper ones are left to the check."""

LONGEST_FOLDER = 1_000
"""Characters; longer beginnings are left to the check."""

PAYLOAD_INDEXES: Mapping[str, models.PayloadSchemaType] = {
    FACETS: models.PayloadSchemaType.KEYWORD,
    FOLDERS: models.PayloadSchemaType.KEYWORD,
    MODIFIED: models.PayloadSchemaType.INTEGER,
}
"""The indexes that make these filters quick, by field."""


class FilterablePacker:
    """Makes payloads that can be filtered by, working out what the chunks of a document share once."""

    def __init__(self) -> None:
        self._packer = Packer()
        self._terms: dict[int, dict[str, list[str]]] = {}

    def payload(self, chunk: IndexedChunk) -> dict[str, object]:
        """The payload of `chunk`; the caller holds all chunks until it is done."""
        terms = self._terms.get(id(chunk.attributes))
        if terms is None:
            terms = self._terms[id(chunk.attributes)] = _terms(chunk.attributes)
        return {**self._packer.payload(chunk), **terms}


def server_filter(filters: Filters | None) -> models.Filter | None:
    """A filter that lets pass at least what `filters` do; None where nothing can be left out."""
    if filters is None:
        return None
    conditions: list[models.Condition] = [_holds(FACETS, facet) for facet in wanted_facets(filters)]
    beginnings = [filters.uri_prefix, None if filters.uri_glob is None else literals_of(filters.uri_glob)[0]]
    for beginning in beginnings:
        folders = _folders(beginning or "")
        if folders:
            conditions.append(_holds(FOLDERS, folders[-1]))
    ending = None if filters.uri_glob is None else _ending_asked(filters.uri_glob)
    if ending is not None:
        conditions.append(_ends_in(ending))
    if (modified := modified_range(filters)) is not None:
        within = models.Range(gte=modified[0], lte=modified[1])
        conditions.append(models.FieldCondition(key=MODIFIED, range=within))
    return models.Filter(must=conditions) if conditions else None


def _terms(attributes: DocumentAttributes) -> dict[str, list[str]]:
    return {FACETS: [*facets_of(attributes), *_endings(attributes.uri)], FOLDERS: _folders(attributes.uri)}


def _endings(uri: str) -> list[str]:
    """What `uri` ends in: its name, and the suffix of that; and that it is said, which it was not in every release."""
    name = uri.rpartition("/")[2]
    _, dot, suffix = name.rpartition(".")
    return [HAS_ENDINGS, term_of("name", "", name), *([term_of("suffix", "", suffix)] if dot else [])]


def _ending_asked(glob: str) -> str | None:
    """The term of all uris that match `glob`, by what it ends in; None if that may be anything."""
    last = literals_of(glob)[-1]
    _, slash, name = last.rpartition("/")
    if slash:
        return term_of("name", "", name)
    _, dot, suffix = last.rpartition(".")
    return term_of("suffix", "", suffix) if dot else None


def _ends_in(ending: str) -> models.Filter:
    unsaid = models.Filter(must_not=[_holds(FACETS, HAS_ENDINGS)])
    return models.Filter(should=[_holds(FACETS, ending), unsaid])


def _folders(uri: str) -> list[str]:
    """The beginnings of `uri` up to each slash, shortest first: of two uris, equal as far as they share a folder."""
    ends = [place + 1 for place, character in enumerate(uri[:LONGEST_FOLDER]) if character == "/"]
    return [uri[:end] for end in ends[:MOST_FOLDERS]]


def _holds(field: str, term: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=term))
