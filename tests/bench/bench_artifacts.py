"""How many documents a second an artifact store keeps, three blobs each, synced every 100; and how fast it reads.

`python tests/bench/bench_artifacts.py` prints it as JSON.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.artifact_stores.local import LocalArtifacts
from tests.worlds.waiting import timed

DOCUMENTS = 3_000
DOCUMENTS_PER_SYNC = 100
BLOB_BYTES = (3_000, 6_000, 10_240)  # the text, ten chunks and their vectors of 256 float32
READ_REFS = 1_000


def run() -> dict[str, Any]:
    """Documents per second put and synced, put again, and blobs per second read together and one by one."""
    rng = random.Random(1)
    documents = [[rng.randbytes(size_bytes) for size_bytes in BLOB_BYTES] for _ in range(DOCUMENTS)]
    with TemporaryDirectory() as place:
        store = LocalArtifacts(Path(place, "artifacts"), clock=lambda: datetime.now(UTC))
        new_s, refs = timed(lambda: _put_all(store, documents))
        again_s, _ = timed(lambda: _put_all(store, documents))
        rng.shuffle(refs)
        together_s, _ = timed(
            lambda: [store.get_many(refs[start : start + READ_REFS]) for start in range(0, len(refs), READ_REFS)]
        )
        singly_s, _ = timed(lambda: [store.get(ref) for ref in refs[:READ_REFS]])
        store.close()
        stored_bytes = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
    return {
        "input": {"documents": DOCUMENTS, "blob_bytes": BLOB_BYTES, "documents_per_sync": DOCUMENTS_PER_SYNC},
        "put_and_synced_documents_per_s": round(DOCUMENTS / new_s),
        "put_again_documents_per_s": round(DOCUMENTS / again_s),
        f"read_{READ_REFS}_together_blobs_per_s": round(len(refs) / together_s),
        "read_singly_blobs_per_s": round(READ_REFS / singly_s),
        "stored_bytes_per_byte": round(stored_bytes / (DOCUMENTS * sum(BLOB_BYTES)), 3),
    }


def _put_all(store: LocalArtifacts, documents: list[list[bytes]]) -> list[Any]:
    refs = []
    for number, blobs in enumerate(documents, 1):
        refs += store.put(blobs)
        if number % DOCUMENTS_PER_SYNC == 0:
            store.sync()
    return refs


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
