from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from avro.datafile import DataFileReader
from avro.io import DatumReader
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_files import newest, released_schemas
from schemas.canonical import canonical_form, fingerprint_of
from schemas.codec import Codec, UnknownKind, UnwritableEvent
from schemas.containers import (
    ContainerDamaged,
    Entry,
    Origin,
    read_container,
    write_containers,
)
from schemas.errors import MachineError
from schemas.events import TOPICS, DocumentCancelled, DocumentSkipped, DocumentStarted, Meta, PipelineEvent, SkipReason
from schemas.ids import document_id_of, event_id_of
from schemas.registries.memory import MemoryRegistry
from schemas.registry import WriterSchema
from tests.samples.event_strategies import KINDS, events_of

ORIGIN = Origin(log_id="log-of-tuesday", topic="documents", partition=3)
DOCUMENT = document_id_of("file:///ledger.ods")
META = Meta(
    event_id=event_id_of("slot", "event"),
    occurred_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
    pipeline_id="run-7",
    sequence=1,
)
IDS: dict[str, Any] = {"meta": META, "document_id": DOCUMENT, "request_id": event_id_of("planner", "request")}
STARTED = DocumentStarted(**IDS, parameters={"parse": "v1"})
SKIPPED = DocumentSkipped(**IDS, reason=SkipReason.UNCHANGED)
CANCELLED = DocumentCancelled(**IDS)
NEWEST = newest(released_schemas())


def entries_of(*events: PipelineEvent | bytes, first: int = 0) -> Iterator[tuple[int, str, Any]]:
    return ((first + number, DOCUMENT, event) for number, event in enumerate(events))


def other_version(record: str, version: int, edit: Callable[[list[dict[str, Any]]], object]) -> WriterSchema:
    schema = json.loads(NEWEST[record].canonical)
    edit(schema["fields"])
    canonical = canonical_form(schema)
    return WriterSchema(record, version, canonical, fingerprint_of(canonical))


def frame_of(registry: MemoryRegistry, schema: WriterSchema, row: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(b"\x00" + registry.register(schema).to_bytes(4))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema.canonical)), row)
    return out.getvalue()


@pytest.fixture
def codec() -> Codec:
    return Codec(MemoryRegistry())


@pytest.fixture
def container(tmp_path: Path, codec: Codec) -> Path:
    (path,) = write_containers(tmp_path, entries_of(STARTED, SKIPPED, CANCELLED), origin=ORIGIN, codec=codec)
    return path


def test_entries_come_back_in_order_with_offset_and_key(tmp_path: Path, codec: Codec) -> None:
    (path,) = write_containers(tmp_path, entries_of(STARTED, SKIPPED, STARTED, first=41), origin=ORIGIN, codec=codec)
    assert path.name == "documents-3-1.avro"
    assert list(read_container(path, codec=codec)) == [
        Entry(41, DOCUMENT, STARTED),
        Entry(42, DOCUMENT, SKIPPED),
        Entry(43, DOCUMENT, STARTED),
    ]


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_event_of_a_topic_goes_through_a_container(
    topic: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds = [kind for kind in KINDS if kind in TOPICS[topic]]
    events = data.draw(st.lists(st.sampled_from(kinds).flatmap(events_of), min_size=1, max_size=6))
    folder, codec = tmp_path_factory.mktemp("export"), Codec(MemoryRegistry())
    origin = replace(ORIGIN, topic=topic)
    (path,) = write_containers(folder, entries_of(*events), origin=origin, codec=codec)
    assert [entry.event for entry in read_container(path, codec=Codec(MemoryRegistry()))] == events


def test_the_header_says_where_the_entries_come_from(container: Path) -> None:
    with container.open("rb") as file:
        metadata = fastavro.block_reader(file).metadata
    said = [metadata[f"refold.{name}"] for name in ("log_id", "topic", "partition")]
    assert said == [ORIGIN.log_id, ORIGIN.topic, str(ORIGIN.partition)]


def test_a_script_that_knows_only_avro_reads_it_with_fastavro(container: Path) -> None:
    with container.open("rb") as file:
        rows = list(fastavro.reader(file, return_record_name=True))
    assert [(row["offset"], row["key"], row["event"][0]) for row in rows] == [
        (0, DOCUMENT, "refold.events.DocumentStarted"),
        (1, DOCUMENT, "refold.events.DocumentSkipped"),
        (2, DOCUMENT, "refold.events.DocumentCancelled"),
    ]
    assert rows[0]["event"][1]["meta"]["occurred_at"] == META.occurred_at
    assert rows[0]["event"][1]["parameters"] == {"parse": "v1"}
    assert rows[1]["event"][1]["reason"] == "UNCHANGED"


def test_a_script_that_knows_only_avro_reads_it_with_the_avro_package(container: Path) -> None:
    with DataFileReader(container.open("rb"), DatumReader()) as reader:
        rows = list(reader)
        assert reader.get_meta("refold.log_id") == b"log-of-tuesday"
    assert [(row["offset"], row["event"]["meta"]["sequence"]) for row in rows] == [(0, 1), (1, 1), (2, 1)]


def test_the_union_holds_every_record_of_the_topic(container: Path) -> None:
    with container.open("rb") as file:
        schema = fastavro.reader(file).writer_schema
    union = next(field["type"] for field in schema["fields"] if field["name"] == "event")
    assert [branch["name"] for branch in union] == sorted(
        f"refold.events.{kind.__name__}" for kind in TOPICS["documents"]
    )


def test_the_same_entries_give_the_same_bytes(tmp_path: Path, codec: Codec, container: Path) -> None:
    (tmp_path / "again").mkdir()
    (again,) = write_containers(tmp_path / "again", entries_of(STARTED, SKIPPED, CANCELLED), origin=ORIGIN, codec=codec)
    assert again.read_bytes() == container.read_bytes()


def test_nothing_to_write_makes_no_file(tmp_path: Path, codec: Codec) -> None:
    assert write_containers(tmp_path, [], origin=ORIGIN, codec=codec) == []
    assert list(tmp_path.iterdir()) == []


def test_frames_are_copied_in_the_schema_they_were_written_with(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    newer = other_version("DocumentStarted", 2, lambda f: f.append({"name": "host", "type": "string", "default": ""}))
    frame = frame_of(registry, newer, {**asdict(STARTED), "host": "kestrel"})
    codec = Codec(registry)
    (path,) = write_containers(tmp_path, entries_of(frame, SKIPPED), origin=ORIGIN, codec=codec)
    with path.open("rb") as file:
        assert [row["event"].get("host") for row in fastavro.reader(file)] == ["kestrel", None]
    assert [entry.event for entry in read_container(path, codec=codec)] == [STARTED, SKIPPED]


def test_a_second_version_of_a_record_starts_a_new_file(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    newer = other_version("DocumentStarted", 2, lambda f: f.append({"name": "host", "type": "string", "default": ""}))
    frame = frame_of(registry, newer, {**asdict(STARTED), "host": "kestrel"})
    codec = Codec(registry)
    events = (STARTED, SKIPPED, frame, frame, SKIPPED, STARTED)
    paths = write_containers(tmp_path, entries_of(*events), origin=ORIGIN, codec=codec)
    assert [path.name for path in paths] == ["documents-3-1.avro", "documents-3-2.avro", "documents-3-3.avro"]
    read = [list(read_container(path, codec=codec)) for path in paths]
    assert [[entry.offset for entry in entries] for entries in read] == [[0, 1], [2, 3, 4], [5]]
    assert [entry.event for entries in read for entry in entries] == [
        STARTED,
        SKIPPED,
        STARTED,
        STARTED,
        SKIPPED,
        STARTED,
    ]


def test_an_older_record_goes_with_the_versions_of_others_that_share_its_nested_types(tmp_path: Path) -> None:
    def lose_sequence(fields: list[dict[str, Any]]) -> None:
        meta = fields[0]["type"]["fields"]
        meta.remove(next(field for field in meta if field["name"] == "sequence"))

    registry = MemoryRegistry([])
    older = [other_version(record, 1, lose_sequence) for record in ("DocumentStarted", "DocumentCancelled")]
    newer = [replace(schema, version=2) for schema in NEWEST.values()]
    frames = [frame_of(registry, older[0], asdict(STARTED)), frame_of(registry, older[1], asdict(CANCELLED))]
    for schema in newer:
        registry.register(schema)
    codec = Codec(registry, schemas=[*older, *newer])
    events = (*frames, *frames, SKIPPED, CANCELLED)
    paths = write_containers(tmp_path, entries_of(*events), origin=ORIGIN, codec=codec, schemas=[*older, *newer])
    read = [[entry.event for entry in read_container(path, codec=codec)] for path in paths]
    without = {"meta": replace(META, sequence=0)}
    old = [replace(STARTED, **without), replace(CANCELLED, **without)]
    assert read == [[*old, *old], [SKIPPED, CANCELLED]]


def test_a_failure_in_the_middle_leaves_no_file_that_looks_whole(tmp_path: Path, codec: Codec) -> None:
    unsayable = replace(STARTED, parameters={"surrogate": "\udc80"})
    with pytest.raises(UnwritableEvent):
        write_containers(tmp_path, entries_of(STARTED, unsayable), origin=ORIGIN, codec=codec)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path, codec: Codec) -> None:
    with pytest.raises(MachineError, match="gone"):
        write_containers(tmp_path / "gone", entries_of(STARTED), origin=ORIGIN, codec=codec)
    with pytest.raises(MachineError, match="gone"):
        list(read_container(tmp_path / "gone", codec=codec))


@pytest.mark.parametrize("kept", [0, 3, 200, -1, -17, -40], ids=lambda kept: f"first-{kept}-bytes")
def test_a_torn_container_is_refused(container: Path, codec: Codec, kept: int) -> None:
    container.write_bytes(container.read_bytes()[:kept])
    with pytest.raises(ContainerDamaged, match=r"documents-3-1\.avro"):
        list(read_container(container, codec=codec))


def test_a_container_with_bytes_behind_it_is_refused(container: Path, codec: Codec) -> None:
    container.write_bytes(container.read_bytes() + b"\x80")
    with pytest.raises(ContainerDamaged):
        list(read_container(container, codec=codec))


def test_a_flipped_bit_in_a_block_is_refused(container: Path, codec: Codec) -> None:
    data = bytearray(container.read_bytes())
    data[-60] ^= 0x10
    container.write_bytes(data)
    with pytest.raises(ContainerDamaged):
        list(read_container(container, codec=codec))


def test_another_kind_of_avro_file_is_refused(tmp_path: Path, codec: Codec) -> None:
    path = tmp_path / "chunks.avro"
    schema = {"type": "record", "name": "Chunk", "fields": [{"name": "text", "type": "string"}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"text": "not an event"}])
    with pytest.raises(ContainerDamaged):
        list(read_container(path, codec=codec))


def test_a_record_of_a_newer_release_stops_the_reader(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    schema = json.loads(NEWEST["DocumentCancelled"].canonical) | {"name": "refold.events.DocumentFrozen"}
    canonical = canonical_form(schema)
    frozen = WriterSchema("DocumentFrozen", 1, canonical, fingerprint_of(canonical))
    frame, codec = frame_of(registry, frozen, asdict(CANCELLED)), Codec(registry)
    (path,) = write_containers(tmp_path, entries_of(STARTED, first=0), origin=ORIGIN, codec=codec)
    (later,) = write_containers(tmp_path, entries_of(frame), origin=replace(ORIGIN, partition=4), codec=codec)
    assert len(list(read_container(path, codec=codec))) == 1
    with pytest.raises(UnknownKind, match="DocumentFrozen"):
        list(read_container(later, codec=codec))


def test_memory_does_not_grow_with_the_number_of_entries(tmp_path: Path, codec: Codec) -> None:
    frame = codec.encode(replace(STARTED, parameters={"noise": "".join(map(chr, range(33, 1033)))}))
    entry_count = 5_000
    tracemalloc.start()
    (path,) = write_containers(tmp_path, entries_of(*[frame] * entry_count), origin=ORIGIN, codec=codec)
    read_count = sum(1 for _ in read_container(path, codec=codec))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read_count == entry_count
    assert len(frame) * entry_count > 8_000_000
    assert peak_bytes < 3_000_000
