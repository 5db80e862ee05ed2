"""How chunks become OpenSearch's documents, and queries and filters its queries.

Texts are sent as their folded words with spaces between (`projections/index/words.py`) and only split there, so that
what matches does not depend on the server's analysers. They are indexed with positions, not kept in `_source`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from projections.backends.facets import facets_of, wanted_facets
from projections.backends.matching import literals_of, modified_bounds
from projections.index.backend import DocumentAttributes, Filters, IndexedChunk, IndexEntry, ScoredChunk, foreign_entry
from projections.index.chunk_ids import is_chunk_id
from projections.index.words import WORDS_VERSION, Query, words
from schemas.ids import ChunkId, DocumentId

Json = dict[str, Any]

CHUNK_ID = "chunk_id"
DOCUMENT_ID = "document_id"
VERSION = "version"
ORDINAL = "ordinal"
TEXT_HASH = "text_hash"
URI = "uri"
MODIFIED = "modified_at_ns"
FACETS = "facets"
TEXT = "text"

LAYOUT = f"1 words={WORDS_VERSION}"
"""Changes with the fields, with what they hold and with the words of a text."""

MARK = "refold"
"""Where in the mapping's `_meta` the index says what it is."""

HIT_FIELDS = [DOCUMENT_ID, VERSION, ORDINAL, URI]
ENTRY_FIELDS = [DOCUMENT_ID, VERSION, ORDINAL, TEXT_HASH]

K1, B = 1.2, 0.75

LONGEST_WORD = 120
"""Characters; longer words are digests: the server would cut them at 255 UTF-16 units, and refuse 32,766 bytes."""

MOST_SCORED_WORDS = 500
"""Words of a query that score: the server takes 1,024 clauses in all."""

LONGEST_URI_TERM = 8_000
"""Characters, at most four bytes each: a longer uri is not indexed, so uri filters are checked on what it says."""

_LONGEST_PATTERN = 500
_MOST_WILDCARDS = 20
"""Beyond these the server might find a pattern too complex; the pattern is cut, and what it finds checked."""

_WILDCARD_SPECIAL = re.compile(r"[*?\\]")

OURS: Json = {"exists": {"field": CHUNK_ID}}
"""Documents that say a chunk's id, as all do that refold writes."""


def index_body(mark: Mapping[str, str], *, alias: str) -> Json:
    """Settings, mapping and alias of a new index; refreshed by `flush` only."""
    unsearched = {"index": False, "doc_values": False}
    return {
        "settings": {
            "number_of_shards": 1,  # BM25's statistics are of a shard
            "auto_expand_replicas": "0-1",
            "refresh_interval": "-1",
            "similarity": {"default": {"type": "BM25", "k1": K1, "b": B}},
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {MARK: dict(mark)},
            "_source": {"excludes": [TEXT, FACETS]},
            "properties": {
                CHUNK_ID: {"type": "keyword"},
                DOCUMENT_ID: {"type": "keyword", **unsearched},
                VERSION: {"type": "long", **unsearched},
                ORDINAL: {"type": "long", **unsearched},
                TEXT_HASH: {"type": "keyword", **unsearched},
                URI: {"type": "keyword", "ignore_above": LONGEST_URI_TERM},
                MODIFIED: {"type": "long"},
                FACETS: {"type": "keyword", "doc_values": False},
                TEXT: {"type": "text", "analyzer": "whitespace"},
            },
        },
        "aliases": {alias: {}},
    }


def document_of(chunk: IndexedChunk) -> Json:
    """`chunk` as OpenSearch takes it in, under its chunk id."""
    attributes = chunk.attributes
    document: Json = {
        CHUNK_ID: chunk.chunk_id,
        DOCUMENT_ID: chunk.document_id,
        VERSION: chunk.version,
        ORDINAL: chunk.ordinal,
        TEXT_HASH: chunk.text_hash,
        URI: attributes.uri,
        FACETS: facets_of(attributes),
        TEXT: " ".join(map(_term, words(chunk.text))),
    }
    if attributes.modified_at_ns is not None:
        document[MODIFIED] = attributes.modified_at_ns
    return document


def entry_of(chunk_id: ChunkId, source: Json) -> IndexEntry:
    """What a document's ENTRY_FIELDS say; foreign where they are not there."""
    try:
        return IndexEntry(
            chunk_id, DocumentId(source[DOCUMENT_ID]), source[VERSION], source[ORDINAL], source[TEXT_HASH]
        )
    except KeyError:
        return foreign_entry(chunk_id)


def scored_chunk(hit: Json) -> ScoredChunk | None:
    """A hit with its HIT_FIELDS; None where it is not one of refold's."""
    source, chunk_id = hit["_source"], ChunkId(hit["_id"])
    if not (is_chunk_id(chunk_id) and source.keys() >= set(HIT_FIELDS)):
        return None
    return ScoredChunk(chunk_id, DocumentId(source[DOCUMENT_ID]), source[VERSION], source[ORDINAL], hit["_score"])


def attributes_of(hit: Json) -> DocumentAttributes:
    """The attributes that `unchecked` filters look at."""
    return DocumentAttributes(uri=hit["_source"].get(URI, ""))


def search_query(query: Query, filters: Filters | None) -> Json:
    """`query` within `filters`; uri patterns let too much pass at times."""
    filtered = [] if filters is None else _filter_clauses(filters)
    plain = _words(query.words)
    must, should = ([_phrase(phrase) for phrase in query.phrases], plain) if query.phrases else ([_any_of(plain)], [])
    # The boost is a factor of BM25's that Lucene leaves out.
    return {"bool": {"must": must, "should": should, "filter": filtered, "boost": K1 + 1}}


def _words(asked: Sequence[str]) -> list[Json]:
    """A clause for each word; of very many, those beyond MOST_SCORED_WORDS match and do not score."""
    terms = [_term(word) for word in asked]
    clauses: list[Json] = [{"term": {TEXT: term}} for term in terms[:MOST_SCORED_WORDS]]
    if others := terms[MOST_SCORED_WORDS:]:
        clauses.append({"constant_score": {"filter": {"terms": {TEXT: others}}, "boost": 0}})
    return clauses


def _any_of(clauses: Sequence[Json]) -> Json:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _phrase(phrase: Sequence[str]) -> Json:
    # Terms hold no spaces, so the server's analyser takes the joined ones apart into the same.
    return {"match_phrase": {TEXT: " ".join(map(_term, phrase))}}


def _term(word: str) -> str:
    # Upper case, which no folded word has, so that no other word is spelled like the digest.
    return word if len(word) <= LONGEST_WORD else f"SHA256{sha256(word.encode()).hexdigest()}"


def _filter_clauses(filters: Filters) -> list[Json]:
    clauses: list[Json] = [{"term": {FACETS: facet}} for facet in wanted_facets(filters)]
    if filters.uri_prefix is not None:
        clauses.append(_uri({"prefix": {URI: filters.uri_prefix[:_LONGEST_PATTERN]}}))
    if filters.uri_glob is not None:
        clauses.append(_uri({"wildcard": {URI: _pattern(literals_of(filters.uri_glob))}}))
    if filters.modified_from_ns is not None or filters.modified_to_ns is not None:
        clauses.append(_modified(filters))
    return clauses


def _uri(matches: Json) -> Json:
    return _any_of([matches, {"bool": {"must_not": {"exists": {"field": URI}}}}])


def _pattern(literals: Sequence[str]) -> str:
    """Uris that hold `literals` in order with anything between; if that is too much, that begin like the first."""
    first, *others = literals
    inner = [other for other in others if other]
    if len(inner) > _MOST_WILDCARDS or sum(map(len, literals)) > _LONGEST_PATTERN:
        return f"{_escaped(first[:_LONGEST_PATTERN])}*"
    return "*".join(map(_escaped, [first, *inner])) + "*"


def _escaped(literal: str) -> str:
    return _WILDCARD_SPECIAL.sub(r"\\\g<0>", literal)


def _modified(filters: Filters) -> Json:
    bounds = modified_bounds(filters)
    if bounds is None:
        return {"match_none": {}}
    return {"range": {MODIFIED: {"gte": bounds[0], "lte": bounds[1]}}}
