"""How fast events become bytes and back, beside bare fastavro: `python tests/bench/bench_codec.py`.

Bare fastavro is given ready dicts and gives dicts, so it is spared the dataclasses that the codec reads and makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from io import BytesIO
from time import process_time
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas.avro_files import newest, released_schemas
from schemas.canonical import without_logical_types
from schemas.codec import FRAME_BYTES, Codec
from schemas.events import (
    ArtifactRef,
    DocumentCompleted,
    DocumentQueued,
    DocumentStarted,
    Finding,
    Meta,
    Stage,
    StageReport,
    VectorsRef,
)
from schemas.ids import JobId, document_id_of, event_id_of
from schemas.registries.memory import MemoryRegistry
from schemas.varints import micros_of

ROUND = 2_000
ROUNDS = 9

_URI = "file:///srv/documents/handbook/chapter-000017.html"
_DIGEST = "0123456789abcdef" * 4


def run() -> dict[str, dict[str, float]]:
    """By event kind: its size, events per second of CPU time, and how many times bare fastavro's that is."""
    codec = Codec(MemoryRegistry())
    return {type(event).__name__: _measured(codec, event) for event in _events()}


def main() -> None:
    """Print the table and the same figures as JSON."""
    figures = run()
    print(f"{'':20}{'bytes':>6}{'encode, events/s':>18}{'x fastavro':>12}{'decode, events/s':>18}{'x fastavro':>12}")
    for kind, found in figures.items():
        print(
            f"{kind:20}{found['bytes']:6,.0f}{found['encode_events_per_s']:18,.0f}{found['encode_ratio']:12.1f}"
            f"{found['decode_events_per_s']:18,.0f}{found['decode_ratio']:12.1f}"
        )
    print(json.dumps(figures))


def _measured(codec: Codec, event: Any) -> dict[str, float]:
    frame = codec.encode(event)
    body = frame[FRAME_BYTES:]
    canonical = newest(released_schemas())[type(event).__name__].canonical
    schema = parse_schema(without_logical_types(json.loads(canonical)))
    row = asdict(event)
    row["meta"]["occurred_at"] = micros_of(event.meta.occurred_at)
    encode_s, bare_encode_s, decode_s, bare_decode_s = _seconds_each(
        lambda: codec.encode(event),
        lambda: schemaless_writer(BytesIO(), schema, row),
        lambda: codec.decode(frame),
        lambda: schemaless_reader(BytesIO(body), schema, None),
    )
    return {
        "bytes": len(frame),
        "encode_events_per_s": 1 / encode_s,
        "encode_ratio": bare_encode_s / encode_s,
        "decode_events_per_s": 1 / decode_s,
        "decode_ratio": bare_decode_s / decode_s,
    }


def _seconds_each(*works: Callable[[], object]) -> list[float]:
    """CPU seconds of one call of each, the best of several rounds; they take turns."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            start_s = process_time()
            for _ in range(ROUND):
                work()
            best[number] = min(best[number], (process_time() - start_s) / ROUND)
    return best


def _events() -> list[Any]:
    meta = Meta(
        event_id=event_id_of("run", "event"),
        occurred_at=datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
        pipeline_id="run-20260101-000000",
        job_id=JobId(event_id_of("run", "job")),
        causation_id=event_id_of("run", "cause"),
        sequence=3,
    )
    request_id = event_id_of("run", "request")
    ids: dict[str, Any] = {"meta": meta, "document_id": document_id_of(_URI), "request_id": request_id}
    ref = ArtifactRef(sha256=_DIGEST, size_bytes=4_321)
    seen: dict[str, Any] = {
        "uri": _URI,
        "source_root": "file:///srv/documents",
        "finding": Finding(uri=_URI, size_bytes=20_480, modified_at_ns=1_767_225_600_000_000_000),
    }
    stages = tuple(
        StageReport(stage=stage, fingerprint=_DIGEST, input_hash=_DIGEST, output=ref, duration_ms=12)
        for stage in (Stage.FETCH, Stage.PARSE, Stage.CHUNK, Stage.EMBED)
    )
    return [
        DocumentQueued(
            **ids, **seen, log_id=event_id_of("run", "log"), topic="requests", offset=123_456, adapter="folder"
        ),
        DocumentStarted(**ids, parameters={"fetch": _DIGEST, "parse": _DIGEST, "chunk": _DIGEST}),
        DocumentCompleted(
            **ids,
            **seen,
            version=1,
            content_hash=_DIGEST,
            fingerprint=_DIGEST,
            stages=stages,
            text=ref,
            chunks=ref,
            vectors=(VectorsRef(embedder="wordllama-256", dim=256, ref=ref),),
            chunk_count=10,
            media_type="text/html",
            title="A chapter",
        ),
    ]


if __name__ == "__main__":
    main()
