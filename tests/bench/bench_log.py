"""How fast the SQLite log appends and reads, beside bare SQLite with the same bytes: `python tests/bench/bench_log.py`.

Bare is what one would write by hand: a table of (offset, key, frame), one executemany and one commit per batch, WAL and
synchronous=FULL as in the log. The two take turns batch by batch, since the speed of disk and processor changes by the
second. Reading decodes; bare SQLite only fetches.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from schemas.codec import Codec
from schemas.events import (
    ArtifactRef,
    DocumentCompleted,
    DocumentQueued,
    DocumentRequested,
    DocumentStarted,
    Finding,
    Meta,
    Stage,
    StageReport,
    VectorsRef,
)
from schemas.ids import JobId, document_id_of, event_id_of
from schemas.positions import Position
from schemas.registries.memory import MemoryRegistry
from streams.log import TOPIC_NAMES, Draft, SlotNumber
from streams.logs.sqlite.log import SqliteLog

EVENTS = 40_000
BATCH = 100
READ_BATCH = 1_000
CALLERS = 8
APPENDS_PER_CALLER = 250

_DIGEST = "0123456789abcdef" * 4
_START = datetime(2026, 1, 1, tzinfo=UTC)


def run(*, events: int = EVENTS, batch: int = BATCH) -> dict[str, float]:
    """Events per second, and their ratios to bare SQLite in the same run."""
    drafts = drafts_of_ingests(events)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return {"events": events, "batch": batch} | _large(Path(folder), drafts, batch) | _small(Path(folder), drafts)


def _large(folder: Path, drafts: Sequence[Draft], batch: int) -> dict[str, float]:
    """Appends of `batch` events by one caller, and reading everything."""
    codec = Codec(MemoryRegistry())
    frames = [codec.encode(draft.event) for draft in drafts]
    append_s = bare_append_s = encode_s = read_s = bare_read_s = 0.0
    with closing(SqliteLog(folder / "log.sqlite")) as log, closing(_Bare(folder / "bare.sqlite")) as bare:
        for start in range(0, len(drafts), batch):
            some = slice(start, start + batch)
            append_s += _seconds(lambda some=some: log.append(SlotNumber(0), drafts[some]))
            bare_append_s += _seconds(lambda some=some: bare.append(drafts[some], frames[some]))
            encode_s += _seconds(lambda some=some: [codec.encode(draft.event) for draft in drafts[some]])
        batches = log.read([tp for topic in TOPIC_NAMES for tp in log.partitions(topic)], Position())
        for _ in range(0, len(drafts), READ_BATCH):
            bare_read_s += _seconds(bare.read)
            read_s += _seconds(lambda: next(batches, None))
    return {
        "bytes_per_event": sum(map(len, frames)) / len(frames),
        "append_events_per_s": len(drafts) / append_s,
        "bare_append_events_per_s": len(drafts) / bare_append_s,
        "append_ratio": bare_append_s / append_s,
        "append_encoding_share": encode_s / append_s,
        "read_events_per_s": len(drafts) / read_s,
        "bare_read_events_per_s": len(drafts) / bare_read_s,
        "read_ratio": bare_read_s / read_s,
    }


def _small(folder: Path, drafts: Sequence[Draft]) -> dict[str, float]:
    """Appends of one event by several callers at once, beside one commit per event."""
    codec = Codec(MemoryRegistry())
    some = drafts[: CALLERS * APPENDS_PER_CALLER]
    shares = [some[caller::CALLERS] for caller in range(CALLERS)]
    with closing(SqliteLog(folder / "small.sqlite")) as log, closing(_Bare(folder / "small-bare.sqlite")) as bare:

        def append_each(share: Sequence[Draft]) -> None:
            for draft in share:
                log.append(None, [draft])

        with ThreadPoolExecutor(CALLERS) as callers:
            shared_s = _seconds(lambda: list(callers.map(append_each, shares)))
        bare_s = _seconds(lambda: [bare.append([draft], [codec.encode(draft.event)]) for draft in some])
    return {
        "single_events_per_s": len(some) / shared_s,
        "bare_single_events_per_s": len(some) / bare_s,
        "single_ratio": bare_s / shared_s,
    }


def main() -> None:
    """Print the table and the same figures as JSON."""
    figures = run()
    print(
        f"{figures['events']:,.0f} events of {figures['bytes_per_event']:.0f} bytes, {figures['batch']:.0f} per commit"
    )
    print(f"{'':8}{'log, events/s':>16}{'bare, events/s':>16}{'ratio':>8}")
    for what in ("append", "read", "single"):
        log, bare = figures[f"{what}_events_per_s"], figures[f"bare_{what}_events_per_s"]
        print(f"{what:8}{log:16,.0f}{bare:16,.0f}{figures[f'{what}_ratio']:8.2f}")
    print(
        f"{figures['append_encoding_share']:.0%} of append is encoding; single: {CALLERS} callers, one event each time"
    )
    print(json.dumps(figures))


class _Bare:
    """The same bytes in SQLite, as one would put them there by hand."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(
            "CREATE TABLE events (offset INTEGER PRIMARY KEY, key TEXT NOT NULL, frame BLOB NOT NULL)"
        )
        self._appended = self._read = 0

    def append(self, drafts: Sequence[Draft], frames: Sequence[bytes]) -> None:
        offsets = range(self._appended, self._appended + len(frames))
        keys = [draft.key for draft in drafts]
        self._connection.execute("BEGIN IMMEDIATE")
        rows = zip(offsets, keys, frames, strict=True)
        self._connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        self._appended = offsets.stop

    def read(self) -> None:
        query = "SELECT * FROM events WHERE offset >= ? ORDER BY offset LIMIT ?"
        self._read += len(self._connection.execute(query, (self._read, READ_BATCH)).fetchall())

    def close(self) -> None:
        self._connection.close()


def _seconds(work: Callable[[], object]) -> float:
    start_s = perf_counter()
    work()
    return perf_counter() - start_s


def drafts_of_ingests(count: int) -> list[Draft]:
    """What ingesting writes: of every document Requested, Queued, Started and Completed."""
    documents = [_document(number) for number in range(count // 4 + 1)]
    return [draft for drafts in documents for draft in drafts][:count]


def _document(number: int) -> list[Draft]:
    uri = f"file:///srv/documents/handbook/chapter-{number:06}.html"
    document_id = document_id_of(uri)
    request_id = event_id_of("job", "DocumentRequested", uri)
    ref = ArtifactRef(sha256=_DIGEST, size_bytes=4_321)
    finding = Finding(uri=uri, size_bytes=20_480, modified_at_ns=1_767_225_600_000_000_000)
    stages = [
        StageReport(stage=stage, fingerprint=_DIGEST, input_hash=_DIGEST, output=ref, duration_ms=12)
        for stage in (Stage.FETCH, Stage.PARSE, Stage.CHUNK, Stage.EMBED)
    ]

    def meta(kind: str, sequence: int) -> Meta:
        return Meta(
            event_id=event_id_of(request_id, kind),
            occurred_at=_START + timedelta(milliseconds=4 * number + sequence),
            pipeline_id="run-20260101-000000",
            job_id=JobId("5d0c4c64-0000-4000-8000-000000000000"),
            causation_id=request_id,
            sequence=sequence,
        )

    requested = DocumentRequested(
        meta=meta("Requested", 0),
        document_id=document_id,
        uri=uri,
        adapter="folder",
        source_root="file:///srv/documents",
        finding=finding,
    )
    queued = DocumentQueued(
        meta=meta("Queued", 1),
        document_id=document_id,
        request_id=request_id,
        log_id="5d0c4c64-0000-4000-8000-000000000001",
        topic="requests",
        offset=number,
        uri=uri,
        adapter="folder",
        source_root="file:///srv/documents",
        finding=finding,
    )
    started = DocumentStarted(
        meta=meta("Started", 2), document_id=document_id, request_id=request_id, parameters={"parse": _DIGEST}
    )
    completed = DocumentCompleted(
        meta=meta("Completed", 3),
        document_id=document_id,
        request_id=request_id,
        version=1,
        uri=uri,
        source_root="file:///srv/documents",
        finding=finding,
        content_hash=_DIGEST,
        fingerprint=_DIGEST,
        stages=stages,
        text=ref,
        chunks=ref,
        vectors=[VectorsRef(embedder="wordllama-256", dim=256, ref=ref)],
        chunk_count=10,
        media_type="text/html",
        title="A chapter",
    )
    recorded = [Draft("documents", document_id, event) for event in (queued, started, completed)]
    return [Draft("requests", document_id, requested), *recorded]


if __name__ == "__main__":
    main()
