"""How chunks become tantivy's documents, and queries and filters its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tantivy

from projections.backends.matching import is_unicode, literals_of, modified_bounds
from projections.index.backend import Filters, IndexedChunk, IndexEntry
from projections.index.words import WORDS_VERSION, Query, spaced_words
from schemas.ids import ChunkId, DocumentId

CHUNK_ID = "chunk_id"
URI = "uri"
SOURCE = "source"
MEDIA_TYPE = "media_type"
METADATA = "metadata"
MODIFIED = "modified_at_ns"
TEXT = "text"
ENTRY = "entry"
"""Everything that is read back, in one stored field."""

LAYOUT = f"1 words={WORDS_VERSION}"
"""Changes with the fields, with what they hold and with the words of a text."""

SPACED = "spaced"
"""The analyser of texts: they come with their words already parted by spaces."""

_RAW = "raw"
_IDS_ONLY = "basic"

_ANYTHING = "(?s:.)*"
_ANYTHING_STATES = 20
_MAX_STATES = 900
"""Tantivy refuses an expression of more than 1,000 states: one per byte of UTF-8, some twenty per wildcard."""
_MAX_PREFIX_LENGTH = 200
"""Characters of a uri that surely stay below _MAX_STATES."""

_SPECIAL = frozenset(r"\.+*?()|[]{}^$#&-~")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What tantivy keeps of a chunk."""

    entry: IndexEntry
    uri: str


def schema() -> tantivy.Schema:
    """The fields of the index."""
    builder = tantivy.SchemaBuilder()
    for name in (CHUNK_ID, URI, SOURCE, MEDIA_TYPE, METADATA):
        builder.add_text_field(name, tokenizer_name=_RAW, index_option=_IDS_ONLY)
    builder.add_integer_field(MODIFIED, fast=True)
    builder.add_text_field(TEXT, tokenizer_name=SPACED, index_option="position")
    builder.add_bytes_field(ENTRY, stored=True)
    return builder.build()


def split_at_spaces() -> tantivy.TextAnalyzer:
    """The analyser called SPACED."""
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


def document_of(chunk: IndexedChunk) -> tantivy.Document:
    """`chunk` as tantivy takes it in."""
    attributes = chunk.attributes
    document = tantivy.Document()
    document.add_text(CHUNK_ID, chunk.chunk_id)
    document.add_text(URI, attributes.uri)
    document.add_text(MEDIA_TYPE, attributes.media_type)
    if attributes.source_root is not None:
        document.add_text(SOURCE, attributes.source_root)
    for key, value in attributes.metadata.items():
        document.add_text(METADATA, _pair(key, value))
    if attributes.modified_at_ns is not None:
        document.add_integer(MODIFIED, attributes.modified_at_ns)
    document.add_text(TEXT, spaced_words(chunk.text))
    document.add_bytes(ENTRY, _packed(chunk))
    return document


def stored_chunk(packed: bytes) -> StoredChunk:
    """What the ENTRY of a document says."""
    chunk_id, document_id, version, ordinal, text_hash, uri = packed.decode().split(" ", 5)
    entry = IndexEntry(ChunkId(chunk_id), DocumentId(document_id), int(version), int(ordinal), text_hash)
    return StoredChunk(entry, uri)


def tantivy_query(query: Query, filters: Filters | None, of: tantivy.Schema) -> tantivy.Query:
    """`query` within `filters` for an index with the schema `of`; long uri patterns let too much pass."""
    phrases = [(tantivy.Occur.Must, _clause(phrase, of)) for phrase in query.phrases]
    plain = [(tantivy.Occur.Should, _clause((word,), of)) for word in query.words]
    scored = tantivy.Query.boolean_query([*phrases, *plain])
    if filters is None:
        return scored
    if not is_unicode(filters):
        return tantivy.Query.empty_query()
    unscored = [tantivy.Query.const_score_query(one, 0.0) for one in _filter_queries(filters, of)]
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, one) for one in (scored, *unscored)])


def _packed(chunk: IndexedChunk) -> bytes:
    return (
        f"{chunk.chunk_id} {chunk.document_id} {chunk.version} {chunk.ordinal} {chunk.text_hash} {chunk.attributes.uri}"
    ).encode()


def _pair(key: str, value: str) -> str:
    # The length says where the key ends, whatever characters it holds.
    return f"{len(key)}:{key}{value}"


def _clause(words: Sequence[str], of: tantivy.Schema) -> tantivy.Query:
    if len(words) == 1:  # the driver panics on a phrase of one word
        return tantivy.Query.term_query(of, TEXT, words[0])
    return tantivy.Query.phrase_query(of, TEXT, list(words))


def _filter_queries(filters: Filters, of: tantivy.Schema) -> list[tantivy.Query]:
    equal = [(METADATA, _pair(key, value)) for key, value in filters.metadata.items()]
    if filters.source is not None:
        equal.append((SOURCE, filters.source))
    if filters.media_type is not None:
        equal.append((MEDIA_TYPE, filters.media_type))
    queries = [tantivy.Query.term_query(of, field, value, _IDS_ONLY) for field, value in equal]
    if filters.uri_prefix is not None:
        queries.append(_uri_query([filters.uri_prefix, ""], of))
    if filters.uri_glob is not None:
        queries.append(_uri_query(literals_of(filters.uri_glob), of))
    if filters.modified_from_ns is not None or filters.modified_to_ns is not None:
        queries.append(_modified_query(filters, of))
    return queries


def _uri_query(literals: Sequence[str], of: tantivy.Schema) -> tantivy.Query:
    """Uris that hold `literals` in order with anything between; if that is too much, that begin like the first."""
    states = sum(len(literal.encode()) + _ANYTHING_STATES for literal in literals)
    kept = literals if states <= _MAX_STATES else [literals[0][:_MAX_PREFIX_LENGTH], ""]
    return tantivy.Query.regex_query(of, URI, _ANYTHING.join(_escaped(literal) for literal in kept))


def _escaped(literal: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in literal)


def _modified_query(filters: Filters, of: tantivy.Schema) -> tantivy.Query:
    bounds = modified_bounds(filters)
    if bounds is None:
        return tantivy.Query.empty_query()
    return tantivy.Query.range_query(of, MODIFIED, tantivy.FieldType.Integer, *bounds)
