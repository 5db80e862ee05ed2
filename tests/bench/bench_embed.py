"""How many chunks a second are embedded, beside wordllama's own `embed` on the same texts in the same run."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import wordllama

from streams.stages.embed import load_embedder
from tests.worlds.waiting import timed

CHUNKS = 2_000
CHUNK_CHARS = 1_000
BATCH_CHUNKS = 10  # what a document has on average


def run() -> dict[str, Any]:
    """Rates in chunks per second, for words never seen and seen, and their ratios to wordllama's own."""
    texts = list(islice(_texts(), CHUNKS))
    package = Path(wordllama.__file__).parent
    itself = wordllama.WordLlama.load(cache_dir=package, disable_download=True)
    own_load_s, embedder = timed(lambda: load_embedder("wordllama-256"))
    batches = [texts[start : start + BATCH_CHUNKS] for start in range(0, len(texts), BATCH_CHUNKS)]
    unseen_s, _ = timed(lambda: [embedder.embed(batch) for batch in batches])
    seen_s, _ = timed(lambda: [embedder.embed(batch) for batch in batches])
    itself_s, _ = timed(lambda: itself.embed(texts, norm=True))
    return {
        "input": {"chunks": len(texts), "characters": sum(map(len, texts)), "batch_chunks": BATCH_CHUNKS},
        "load_s": round(own_load_s, 3),
        "wordllama_chunks_per_s": round(len(texts) / itself_s),
        "unseen_words_chunks_per_s": round(len(texts) / unseen_s),
        "seen_words_chunks_per_s": round(len(texts) / seen_s),
        "unseen_words_ratio": round(itself_s / unseen_s, 2),
        "seen_words_ratio": round(itself_s / seen_s, 2),
    }


def _texts() -> Iterator[str]:
    """Chunks of the standard library's sources: real words, the same on every machine with this Python."""
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = file.read_text(encoding="utf-8", errors="replace")
        yield from (text[start : start + CHUNK_CHARS] for start in range(0, len(text), CHUNK_CHARS))


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
