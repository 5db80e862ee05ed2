"""The naive loop, one process, each document committed: `python -m tests.bench.naive FOLDER OUTPUT COUNT`.

Read, strip, split, embed by wordllama's own `embed`, write to the same kinds of stores as refold and make them durable
before the next document. It takes every n-th file: its rate falls as the stores grow, so that is in its favour.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.index.backend import DocumentAttributes, IndexedChunk
from schemas.ids import chunk_ids_of, document_id_of
from tests.bench.bare import BareEmbedder, chunks_of, files_of, text_of

DIM = 256


def main() -> None:
    """Do it, and print how many documents and chunks that was."""
    folder, output, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    output.mkdir(parents=True)
    files = files_of(folder)
    files = files[:: max(len(files) // count, 1)]
    embedder = BareEmbedder()
    vector = QdrantEdgeVectorBackend(output / "vector", "g1", create=True, dim=DIM)
    keyword = TantivyKeywordBackend(output / "keyword", "g1", create=True)
    texts = _open_texts(output / "texts.sqlite")
    chunk_count, size_bytes, started_s = 0, 0, perf_counter()
    for file in files:
        text = text_of(file)
        chunks = _chunks(file, text, embedder)
        with texts:
            texts.execute("INSERT INTO texts VALUES (?, ?)", (str(file), text))
        for backend in (vector, keyword):
            backend.upsert(chunks)
            backend.flush()
        chunk_count += len(chunks)
        size_bytes += file.stat().st_size
    seconds = perf_counter() - started_s
    vector.close()
    keyword.close()
    print(json.dumps({"documents": len(files), "chunks": chunk_count, "bytes": size_bytes, "seconds": seconds}))


def _open_texts(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE texts (path TEXT PRIMARY KEY, text TEXT NOT NULL)")
    return connection


def _chunks(file: Path, text: str, embedder: BareEmbedder) -> list[IndexedChunk]:
    parts = chunks_of(text)
    if not parts:
        return []
    uri = file.as_uri()
    document_id = document_id_of(uri)
    attributes = DocumentAttributes(uri=uri, media_type="text/plain")
    ids = chunk_ids_of(document_id, 1, len(parts))
    return [
        IndexedChunk(
            chunk_id=chunk_id,
            document_id=document_id,
            version=1,
            ordinal=ordinal,
            text=part,
            text_hash=sha256(part.encode()).hexdigest(),
            attributes=attributes,
            vector=vector,
        )
        for ordinal, (chunk_id, part, vector) in enumerate(zip(ids, parts, embedder.embed(parts), strict=True))
    ]


if __name__ == "__main__":
    main()
