"""What of a document is compared for equality, as short terms that servers index; the rest of a filter is checked.

A term says which attribute it is of and where a metadata key ends, whatever characters it holds. A long one is replaced
by its digest, so that equal terms mean equal attributes and no server finds one too long.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from projections.index.backend import DocumentAttributes, Filters

LONGEST_TERM = 500
"""Characters; longer terms are digests."""


def facets_of(attributes: DocumentAttributes) -> list[str]:
    """The terms of a document."""
    terms = [term_of("media_type", "", attributes.media_type), *_pairs(attributes.metadata.items())]
    if attributes.source_root is not None:
        terms.append(term_of("source", "", attributes.source_root))
    return terms


def wanted_facets(filters: Filters) -> list[str]:
    """The terms that every document has which passes `filters`."""
    terms = _pairs(filters.metadata.items())
    if filters.source is not None:
        terms.append(term_of("source", "", filters.source))
    if filters.media_type is not None:
        terms.append(term_of("media_type", "", filters.media_type))
    return terms


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [term_of("metadata", key, value) for key, value in pairs]


def term_of(attribute: str, key: str, value: str) -> str:
    """The term that says `value` of the `key` of an attribute."""
    term = f"{attribute}:{len(key)}:{key}{value}"
    return term if len(term) <= LONGEST_TERM else f"sha256:{sha256(term.encode()).hexdigest()}"
