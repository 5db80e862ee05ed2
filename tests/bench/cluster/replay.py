"""A slot with a long past: how fast a projector folds it, and how soon it is owned.

The manifest in PostgreSQL is kept by the real runner; beside it a bare consumer of confluent-kafka reads the same
records and decodes them with fastavro, as one would write it by hand, and keeps nothing. The two take turns, and the
best of each counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from time import perf_counter
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader

from projections.fold.follower import Follower
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_postgres
from refold.engine.assembly import SQL_JOINING
from refold.process.collector import collect_seldom
from schemas.codec import FRAME_BYTES
from schemas.registries.memory import MemoryRegistry
from streams.log import Draft, EventLog, SlotNumber
from streams.logs.kafka.names import KafkaNames
from streams.slot.slot import Slot
from tests.bench.bench_log import drafts_of_ingests
from tests.bench.cluster.servers import BENCH, bench_corpus, bench_schema, postgres
from tests.bench.cluster.slots import request_draft, slot_parts

EVENTS = 100_000
PER_APPEND = 1_000
CONSUMED = 1_000
ROUNDS = 2


def run(*, events: int = EVENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Events per second of projector and bare consumer, and seconds until a slot takes its first request."""
    collect_seldom()
    drafts = [draft for draft in drafts_of_ingests(events * 4 // 3) if draft.topic == "documents"]
    with bench_corpus(slots=1) as (corpora, corpus):
        log = corpora.open(BENCH)
        for start in range(0, len(drafts), PER_APPEND):
            log.append(SlotNumber(0), drafts[start : start + PER_APPEND])
        bare, folded = [], []
        for _ in range(rounds):
            bare.append(_bare_events_per_s(corpora.client, corpus, len(drafts)))
            with bench_schema() as schema, closing(_manifest(log, schema)) as view:
                folded.append(_folded_events_per_s(log, view, len(drafts)))
        owned = _owned(corpora.open(BENCH), drafts)
    return {
        "events": len(drafts),
        "projector_events_per_s": max(folded),
        "projector_rounds": folded,
        "bare_consumer_events_per_s": max(bare),
        "projector_per_bare": max(folded) / max(bare),
        **owned,
    }


def _manifest(log: EventLog, schema: str) -> ManifestView:
    return ManifestView(open_postgres(postgres(), schema=schema), log_id=log.log_id)


def _folded_events_per_s(log: EventLog, view: ManifestView, count: int) -> float:
    began_s = perf_counter()
    Follower(log, ManifestProjection(), view, joining=SQL_JOINING["manifest"]).catch_up()
    return count / (perf_counter() - began_s)


def _bare_events_per_s(client: Any, corpus: str, count: int) -> float:
    registry, parsed = MemoryRegistry(), dict[bytes, Any]()
    settings = {"group.id": "bench", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **settings, "enable.auto.commit": False})
    began_s = perf_counter()
    consumer.assign([TopicPartition(KafkaNames(corpus).topic("documents"), 0, 0)])
    read = 0
    while read < count:
        for message in consumer.consume(CONSUMED, timeout=1.0):
            frame = message.value()
            head = frame[:FRAME_BYTES]
            if head not in parsed:
                parsed[head] = parse_schema(json.loads(registry.schema_of(int.from_bytes(head[1:])).canonical))
            schemaless_reader(BytesIO(frame[FRAME_BYTES:]), parsed[head], None)
            read += 1
    rate = count / (perf_counter() - began_s)
    consumer.close()
    return rate


def _owned(log: EventLog, drafts: Sequence[Draft]) -> dict[str, float]:
    """Seconds that taking the slot takes, by how far the manifest is; at the head until its first request is queued."""
    with bench_schema() as schema, closing(_manifest(log, schema)) as view:
        nothing_s = _owned_s(log, view)
        _fold_half(log, view, len(drafts))
        half_s = _owned_s(log, view)
        Follower(log, ManifestProjection(), view).catch_up()
        log.append(None, [request_draft("first")])
        head_s = _owned_s(log, view, takes_in=True)
    return {"owned_half_folded_s": half_s, "owned_at_head_s": head_s, "owned_without_manifest_s": nothing_s}


def _owned_s(log: EventLog, view: ManifestView, *, takes_in: bool = False) -> float:
    slot = Slot(0, slot_parts(log, view, lambda *_: None))
    began_s = perf_counter()
    slot.own()
    if takes_in:  # further behind the slot waits for the projector first
        assert slot.take_turn(), "it has taken nothing"
    return perf_counter() - began_s


def _fold_half(log: EventLog, view: ManifestView, count: int) -> None:
    projection, partitions = ManifestProjection(), log.partitions("documents")
    position, folded = view.position(), 0
    for batch in log.read(partitions, position):
        changes = [change for recorded in batch.recorded for change in projection.changes(recorded)]
        view.apply(changes, position, batch.next_position)
        position, folded = batch.next_position, folded + len(changes)
        if folded >= count // 2:
            return
