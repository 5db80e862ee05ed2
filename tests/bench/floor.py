"""The floor: two bare processes, each with half of the files: `python -m tests.bench.floor FOLDER OUTPUT`.

Read, strip, split, embed by wordllama's own `embed`, into a flat file and a tantivy index per process. Nothing is
recorded, checked, committed on the way or able to go on after a kill: what an ingest costs that promises nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

import tantivy

from tests.bench.bare import BareEmbedder, chunks_of, files_of, text_of

PROCESSES = 2

EMBEDDED_TOGETHER = 64
"""Chunks given to `embed` at once: its own batch size, faster than a document at a time."""

WRITER_BYTES = 64 * 1024 * 1024


def main() -> None:
    """Do it, and print how many documents and chunks that was."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    files = files_of(folder)
    halves = [(files[number::PROCESSES], output / str(number)) for number in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        chunks = sum(pool.starmap(ingest, halves, chunksize=1))
        pool.close()
        pool.join()  # so that what the processes took is counted
    print(json.dumps({"documents": len(files), "chunks": chunks}))


def ingest(files: list[Path], output: Path) -> int:
    """Put `files` into a flat file and an index below `output`; how many chunks they have."""
    (output / "keyword").mkdir(parents=True)
    embedder = BareEmbedder()
    writer = tantivy.Index(_schema(), path=str(output / "keyword")).writer(WRITER_BYTES, 1)
    waiting: list[str] = []
    count = 0
    with (output / "vectors.f32").open("wb") as vectors:
        for file in files:
            for chunk in chunks_of(text_of(file)):
                writer.add_document(tantivy.Document(id=f"{file}#{count}", text=chunk))
                waiting.append(chunk)
                count += 1
            while len(waiting) >= EMBEDDED_TOGETHER:
                vectors.write(embedder.embed(waiting[:EMBEDDED_TOGETHER]).tobytes())
                del waiting[:EMBEDDED_TOGETHER]
        if waiting:
            vectors.write(embedder.embed(waiting).tobytes())
    writer.commit()
    return count


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    builder.add_text_field("text")
    return builder.build()


if __name__ == "__main__":
    main()
