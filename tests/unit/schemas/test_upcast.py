from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from schemas.avro_files import newest, released_schemas
from schemas.canonical import canonical_form, fingerprint_of
from schemas.codec import Codec, UnknownKind, UnreadableEvent
from schemas.events import DocumentRemoved, Meta, RemovalReason
from schemas.ids import document_id_of, event_id_of
from schemas.registries.memory import MemoryRegistry
from schemas.registry import WriterSchema
from schemas.upcast import UPCASTS, Row, Upcasted, upcast

META = Meta(
    event_id=event_id_of("slot", "DocumentForgotten"),
    occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
    pipeline_id="run-1",
)
IDS = {"document_id": document_id_of("file:///memo.txt"), "request_id": event_id_of("planner", "DocumentRequested")}


def replaced_record(record: str, *fields: dict[str, Any]) -> WriterSchema:
    """The schema of a record that this release has replaced: DocumentCancelled's fields and `fields`."""
    schema = json.loads(newest(released_schemas())["DocumentCancelled"].canonical)
    schema.update(name=f"refold.events.{record}", fields=[*schema["fields"], *fields])
    canonical = canonical_form(schema)
    return WriterSchema(record, 1, canonical, fingerprint_of(canonical))


FORGOTTEN = replaced_record("DocumentForgotten", {"name": "gone_version", "type": "string", "default": "0"})
ERASED = replaced_record("DocumentErased", {"name": "version", "type": "long", "default": 0})


def erase(row: Row) -> Upcasted:
    row["version"] = int(row.pop("gone_version"))
    return Upcasted("DocumentErased", 1, row)


def remove(row: Row) -> Upcasted:
    return Upcasted("DocumentRemoved", 1, row)


STEPS = {("DocumentForgotten", 1): erase, ("DocumentErased", 1): remove}


def frame_of(registry: MemoryRegistry, schema: WriterSchema, **values: Any) -> bytes:
    out = io.BytesIO()
    out.write(b"\x00" + registry.register(schema).to_bytes(4))
    parsed = fastavro.parse_schema(json.loads(schema.canonical))
    fastavro.schemaless_writer(out, parsed, {"meta": asdict(META), **IDS, **values})
    return out.getvalue()


def test_no_record_has_been_replaced_yet() -> None:
    assert UPCASTS == {}


def test_a_row_without_a_step_stays_as_it_is() -> None:
    assert upcast("DocumentRemoved", 1, {"version": 3}, steps=STEPS) == ("DocumentRemoved", 1, {"version": 3})


def test_steps_follow_each_other_until_none_applies() -> None:
    made = upcast("DocumentForgotten", 1, {"gone_version": "3"}, steps=STEPS)
    assert made == ("DocumentRemoved", 1, {"version": 3})


def test_an_event_of_a_replaced_record_is_read_as_its_successor_and_new_fields_take_their_defaults() -> None:
    registry = MemoryRegistry()
    codec = Codec(registry, upcasts=STEPS)
    read = codec.decode(frame_of(registry, FORGOTTEN, gone_version="3"))
    assert read == DocumentRemoved(meta=META, **IDS, version=3, reason=RemovalReason.UNKNOWN)
    assert codec.decode(frame_of(registry, ERASED, version=4)) == replace(read, version=4)


def test_an_event_of_a_replaced_record_without_step_stops_the_reader() -> None:
    registry = MemoryRegistry()
    with pytest.raises(UnknownKind, match="DocumentForgotten"):
        Codec(registry).decode(frame_of(registry, FORGOTTEN, gone_version="3"))


def test_a_step_that_leads_to_no_event_stops_the_reader() -> None:
    registry = MemoryRegistry()
    codec = Codec(registry, upcasts={("DocumentForgotten", 1): erase})
    with pytest.raises(UnknownKind, match="DocumentErased"):
        codec.decode(frame_of(registry, FORGOTTEN, gone_version="3"))


def test_a_replaced_record_that_is_cut_off_or_too_long_is_unreadable() -> None:
    registry = MemoryRegistry()
    codec = Codec(registry, upcasts=STEPS)
    frame = frame_of(registry, FORGOTTEN, gone_version="3")
    for broken in (frame[:-1], frame + b"\x00"):
        with pytest.raises(UnreadableEvent):
            codec.decode(broken)
