"""A keyword index in one folder by tantivy; texts are indexed with their positions, not stored.

The writer buffers up to WRITER_HEAP_BYTES in anonymous memory, whatever the number of chunks; the index itself is in
mapped files. The driver lets other threads run in all its calls. A flush takes 10 to 30 ms and what was added since in
proportion, so larger batches cost less each.

What was flushed survives a kill at any moment, and of what was not nothing is there. Deleted chunks count in BM25's
statistics and on disk until their segment is merged; the binding has no call for that, it happens as chunks are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path
from typing import cast

import tantivy

from projections.backends.folder import (
    FolderMark,
    allocated_bytes,
    check_folder,
    foreign,
    mapped_driver_errors,
    open_folder,
)
from projections.backends.matching import Admission, admission, unchecked
from projections.backends.ranking import best
from projections.backends.tantivy.schema import (
    CHUNK_ID,
    ENTRY,
    LAYOUT,
    SPACED,
    document_of,
    schema,
    split_at_spaces,
    stored_chunk,
    tantivy_query,
)
from projections.index.backend import DocumentAttributes, Filters, IndexedChunk, IndexEntry, ScoredChunk
from projections.index.words import parse_query
from schemas.errors import MachineError
from schemas.ids import ChunkId

WRITER_HEAP_BYTES = 48_000_000
"""Room for about 15,000 chunks of 1,000 characters between two flushes before a segment is written early."""

WRITER_THREADS = 1
"""One segment per flush: more threads would write more and smaller ones."""

SCAN_IDS = 8_000
"""Ids read in one call, about."""

_HEX = "0123456789abcdef"


class TantivyKeywordBackend:
    """Texts by their words in a tantivy index, a document per chunk.

    Args:
        directory: The index's own folder; made if `create`, and emptied of an earlier index.
        generation: The id in the folder's mark.
        create: Whether to begin an empty index.

    Raises:
        IndexForeign: the folder does not hold this index, or holds it in the format of another tantivy.
        DataFolderDamaged: it does, and it does not open.
    """

    def __init__(self, directory: Path, generation: str, *, create: bool) -> None:
        self._directory = directory
        self._is_dirty = False
        self._mark = FolderMark(index="keyword", generation=generation, backend="tantivy", layout=LAYOUT)
        with self._mapped_errors("open index"), open_folder(directory, self._mark, create=create) as data:
            if not create and not tantivy.Index.is_compatible(str(data)):
                raise foreign(self._mark, str(directory), "there is the index of another tantivy")
            self._schema = schema()
            self._index = tantivy.Index(self._schema, str(data)) if create else tantivy.Index.open(str(data))
            self._index.register_tokenizer(SPACED, split_at_spaces())
            self._index.config_reader(reload_policy="manual")
            self._writer: tantivy.IndexWriter | None = self._index.writer(WRITER_HEAP_BYTES, WRITER_THREADS)

    def check_mark(self) -> None:
        """Raise IndexForeign if the folder was deleted or replaced: what is written would be lost with it."""
        check_folder(self._directory, self._mark)

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write `chunks` under their ids, replacing what was there; visible after `flush`."""
        with self._mapped_errors("upsert"):
            writer = self._open_writer()
            self._is_dirty = True
            for chunk in chunks:
                writer.delete_documents_by_term(CHUNK_ID, chunk.chunk_id)
                writer.add_document(document_of(chunk))

    def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Delete by id; gone after `flush`."""
        with self._mapped_errors("delete"):
            writer = self._open_writer()
            self._is_dirty = True
            for chunk_id in chunk_ids:
                writer.delete_documents_by_term(CHUNK_ID, chunk_id)

    def flush(self) -> None:
        """Make everything so far durable and visible to searches that begin from now on."""
        if not self._is_dirty:
            return
        with self._mapped_errors("flush"):
            self._open_writer().commit()
            self._index.reload()
            self._is_dirty = False

    def scan_ids(self) -> Iterator[Sequence[ChunkId]]:
        """All ids, in batches, as they were when the scan began."""
        with self._mapped_errors("scan"):
            searcher = self._index.searcher()
        for prefix in _prefixes(searcher.num_docs):
            with self._mapped_errors("scan"):
                # The term dictionary also names deleted chunks; counted within what is alive they are left out.
                terms = searcher.terms_with_prefix(CHUNK_ID, prefix, filter_query=tantivy.Query.all_query())
            if terms:
                yield [ChunkId(term) for term, _ in terms]

    def read(self, chunk_ids: Sequence[ChunkId]) -> Sequence[IndexEntry]:
        """What is held under `chunk_ids`."""
        with self._mapped_errors("read"):
            searcher = self._index.searcher()
            if not chunk_ids or not searcher.num_docs:
                return []
            query = tantivy.Query.term_set_query(self._schema, CHUNK_ID, chunk_ids)
            found = searcher.search(query, limit=len(chunk_ids), count=False).hits
            return [stored_chunk(_entry_at(searcher, address)).entry for _, address in found]

    def count(self) -> int:
        """How many chunks are there."""
        with self._mapped_errors("count"):
            return self._index.searcher().num_docs

    def vacuum(self) -> None:
        """Remove the files of merged segments."""
        with self._mapped_errors("vacuum"):
            self._open_writer().garbage_collect_files()

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return allocated_bytes(self._directory)

    def close(self) -> None:
        """Flush, let merges come to their end and let go of the files."""
        if self._writer is None:
            return
        try:
            self.flush()
        finally:
            writer, self._writer = self._writer, None
            with self._mapped_errors("close"):
                writer.wait_merging_threads()

    def search(self, query: str, *, limit: int, filters: Filters | None = None) -> Sequence[ScoredChunk]:
        """The `limit` best chunks, best first, equal scores by chunk id; what matches: `projections/index/words.py`."""
        asked, admits = parse_query(query), admission(unchecked(filters))
        with self._mapped_errors("search"):
            searcher = self._index.searcher()
            size = searcher.num_docs
            if asked.is_empty or not size:
                return []
            native = tantivy_query(asked, filters, self._schema)
            return best(
                lambda wanted: searcher.search(native, limit=min(wanted, size), count=False).hits,
                lambda found: _hit(searcher, found, admits),
                limit=limit,
            )

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise MachineError("the keyword index was closed", op="write", subject=str(self._directory))
        return self._writer

    def _mapped_errors(self, op: str) -> AbstractContextManager[None]:
        return mapped_driver_errors(op, "keyword", self._directory)


def _prefixes(count: int) -> Iterator[str]:
    """What chunk ids begin with, such that about SCAN_IDS of `count` share each."""
    length = 0
    while count > SCAN_IDS * len(_HEX) ** length:
        length += 1
    return ("".join(digits) for digits in product(_HEX, repeat=length))


def _entry_at(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> bytes:
    return cast(bytes, searcher.doc(address).get_first(ENTRY))


def _hit(searcher: tantivy.Searcher, found: tuple[float, tantivy.DocAddress], admits: Admission) -> ScoredChunk | None:
    score, address = found
    stored = stored_chunk(_entry_at(searcher, address))
    if not admits(DocumentAttributes(uri=stored.uri)):
        return None
    entry = stored.entry
    return ScoredChunk(entry.chunk_id, entry.document_id, entry.version, entry.ordinal, score)
