from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events
from schemas.avro_files import newest, released_schemas
from schemas.canonical import canonical_form, fingerprint_of
from schemas.codec import ABSENT_IDS, ABSENT_S, Codec, UnknownKind, UnknownSchemaId, UnreadableEvent, UnwritableEvent
from schemas.compiled import read as compiled_read
from schemas.compiled.read import KEPT_TEXT_BYTES, KEPT_TEXTS, REPEATED, kept_text
from schemas.events import (
    Action,
    ArtifactRef,
    BatchProgress,
    DocumentCompleted,
    DocumentFailed,
    DocumentQueued,
    DocumentRequested,
    DocumentSkipped,
    DocumentStarted,
    ErrorClass,
    Finding,
    JobSubmitted,
    Meta,
    SkipReason,
    Stage,
    StageReport,
)
from schemas.ids import DocumentId, EventId, JobId, document_id_of, event_id_of
from schemas.registries.memory import MemoryRegistry
from schemas.registry import WriterSchema
from tests.samples.event_strategies import KINDS, any_event, events_of

NEWEST = newest(released_schemas())
CODEC = Codec(MemoryRegistry())
META = Meta(
    event_id=event_id_of("planner", "DocumentStarted"),
    occurred_at=datetime(2026, 11, 23, 17, 45, 6, 123456, tzinfo=UTC),
    pipeline_id="run-1",
    sequence=2,
)
DOCUMENT = document_id_of("file:///minutes.pdf")
REQUEST = event_id_of("planner", "DocumentRequested")
LONG_REQUEST = DocumentRequested(
    meta=META, document_id=DOCUMENT, uri="push:minutes", adapter="push", action=Action.INGEST
)
STARTED = DocumentStarted(meta=META, document_id=DOCUMENT, request_id=REQUEST, attempt=2, parameters={"parse": "v1"})


def edited(record: str, version: int, edit: Callable[[dict[str, Any]], object]) -> WriterSchema:
    """Another version of the newest schema of `record`."""
    schema = json.loads(NEWEST[record].canonical)
    edit(schema)
    canonical = canonical_form(schema)
    return WriterSchema(record, version, canonical, fingerprint_of(canonical))


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def framed_as(registry: MemoryRegistry, schema: WriterSchema, row: dict[str, Any]) -> bytes:
    """What a release whose newest schema is `schema` would have written."""
    out = io.BytesIO()
    out.write(b"\x00" + registry.register(schema).to_bytes(4))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema.canonical)), row)
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_event_comes_back_as_it_was(kind: type[Any], data: st.DataObject) -> None:
    event = data.draw(events_of(kind))
    frame = CODEC.encode(event)
    assert CODEC.decode(frame) == event
    assert CODEC.kind_of(frame) == kind.__name__


@settings(max_examples=100, deadline=None)
@given(any_event())
def test_the_bytes_are_those_that_fastavro_writes(event: Any) -> None:
    out = io.BytesIO()
    schema = fastavro.parse_schema(json.loads(NEWEST[type(event).__name__].canonical))
    fastavro.schemaless_writer(out, schema, asdict(event))
    assert CODEC.encode(event)[5:] == out.getvalue()


def plain(value: Any) -> Any:
    """`value` as one plain form, whichever library read it."""
    match value:
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case UUID():
            return str(value)
    return value


@settings(max_examples=100, deadline=None)
@given(any_event())
def test_the_avro_package_reads_the_same_values(event: Any) -> None:
    schema = avro.schema.parse(NEWEST[type(event).__name__].canonical)
    body = io.BytesIO(CODEC.encode(event)[5:])
    row = avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(body))
    assert plain(row) == plain(asdict(event))
    assert body.read() == b""


def test_a_frame_begins_with_a_zero_byte_and_the_schema_id() -> None:
    registry = MemoryRegistry()
    frame = Codec(registry).encode(STARTED)
    assert frame[:1] == b"\x00"
    assert int.from_bytes(frame[1:5]) == registry.id_of("DocumentStarted", 1)


def test_values_come_back_as_the_types_that_the_dataclasses_name() -> None:
    stored = ArtifactRef(sha256="ab" * 32, size_bytes=9)
    report = StageReport(stage=Stage.PARSE, output=stored, counts={"pages": 3})
    event = DocumentCompleted(meta=META, document_id=DOCUMENT, request_id=REQUEST, version=1, stages=[report])
    read = CODEC.decode(CODEC.encode(event))
    assert isinstance(read, DocumentCompleted)
    assert isinstance(read.meta, Meta)
    assert isinstance(read.meta.event_id, str)
    assert read.meta.occurred_at.tzinfo is UTC
    assert read.stages == (report,)
    assert read.stages[0].stage is Stage.PARSE
    assert type(read.stages[0].counts) is dict
    with pytest.raises(AttributeError):
        read.version = 2  # type: ignore[misc]


@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x00\x00\x00\x00", b"garbage", b"\x01\x00\x00\x00\x01rest"])
def test_bytes_that_are_no_frame_are_refused(frame: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        CODEC.decode(frame)


@given(any_event(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_frame_that_is_cut_off_anywhere_is_refused(event: Any, data: st.DataObject) -> None:
    frame = CODEC.encode(event)
    cut = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(UnreadableEvent):
        CODEC.decode(frame[:cut])


@given(any_event(), st.binary(min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_frame_with_bytes_behind_it_is_refused(event: Any, junk: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        CODEC.decode(CODEC.encode(event) + junk)


@given(any_event(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_body_with_changed_bytes_is_an_event_or_unreadable_and_nothing_else(event: Any, data: st.DataObject) -> None:
    frame = bytearray(CODEC.encode(event))
    for at in data.draw(st.lists(st.integers(5, len(frame) - 1), min_size=1, max_size=4)):
        frame[at] = data.draw(st.integers(0, 255))
    try:
        read = CODEC.decode(bytes(frame))
    except UnreadableEvent:
        return
    assert type(read) is type(event)


def test_a_number_without_end_is_refused() -> None:
    head = CODEC.encode(STARTED)[:5]
    with pytest.raises(UnreadableEvent):
        CODEC.decode(head + b"\xff" * 100_000)


def test_a_fraction_that_is_cut_off_is_refused() -> None:
    frame = CODEC.encode(BatchProgress(meta=META, documents_per_minute=1.5))
    with pytest.raises(UnreadableEvent):
        CODEC.decode(frame[:-5])


def test_a_schema_id_that_nobody_registered_is_an_unknown_kind() -> None:
    with pytest.raises(UnknownSchemaId, match="schema id 4711"):
        CODEC.decode(b"\x00" + (4711).to_bytes(4) + b"body")


class CountedRegistry(MemoryRegistry):
    """A registry that counts what it is asked."""

    def __init__(self, schemas: Sequence[WriterSchema] | None = None) -> None:
        super().__init__(schemas)
        self.asked: list[int] = []

    def schema_of(self, schema_id: int) -> WriterSchema | None:
        self.asked.append(schema_id)
        return super().schema_of(schema_id)


def test_a_thousand_frames_of_a_schema_that_is_not_there_ask_for_it_once() -> None:
    registry = CountedRegistry()
    codec = Codec(registry, monotonic=lambda: 7.0)
    for _ in range(1_000):
        with pytest.raises(UnknownSchemaId, match="schema id 4711"):
            codec.decode(b"\x00" + (4711).to_bytes(4) + b"body")
    assert registry.asked == [4711]


def test_a_schema_that_is_registered_later_is_found_when_its_absence_is_old() -> None:
    now_s = [0.0]
    registry = CountedRegistry([])
    codec = Codec(registry, monotonic=lambda: now_s[0])
    frame = b"\x00" + (1).to_bytes(4) + CODEC.encode(STARTED)[5:]
    with pytest.raises(UnknownSchemaId):
        codec.decode(frame)
    registry.register(NEWEST["DocumentStarted"])
    now_s[0] = ABSENT_S
    assert codec.decode(frame) == STARTED
    assert registry.asked == [1, 1]


def test_ids_that_are_not_there_do_not_pile_up() -> None:
    codec = Codec(MemoryRegistry(), monotonic=lambda: 0.0)
    for schema_id in range(5_000, 5_000 + 3 * ABSENT_IDS):
        with pytest.raises(UnknownSchemaId):
            codec.decode(b"\x00" + schema_id.to_bytes(4))
    assert len(codec._absent_until_s) <= ABSENT_IDS


def test_a_registered_record_that_this_release_does_not_know_is_an_unknown_kind() -> None:
    registry = MemoryRegistry()
    foreign = edited("JobPaused", 1, lambda schema: schema.update(name="refold.events.JobTeleported"))
    foreign = replace(foreign, record="JobTeleported")
    frame = framed_as(registry, foreign, {"meta": asdict(META)})
    with pytest.raises(UnknownKind, match="JobTeleported") as caught:
        Codec(registry).decode(frame)
    assert caught.value.hint is not None
    assert Codec(registry).kind_of(frame) == "JobTeleported"


def test_a_symbol_that_a_newer_release_added_reads_as_unknown() -> None:
    registry = MemoryRegistry()
    newer = edited("DocumentSkipped", 2, lambda s: field(s, "reason")["type"]["symbols"].append("EMBARGOED"))
    row = {"meta": asdict(META), "document_id": DOCUMENT, "request_id": REQUEST, "reason": "EMBARGOED"}
    read = Codec(registry).decode(framed_as(registry, newer, row))
    assert read == DocumentSkipped(meta=META, document_id=DOCUMENT, request_id=REQUEST, reason=SkipReason.UNKNOWN)
    assert read.reason is SkipReason.UNKNOWN


def test_a_field_that_a_newer_release_added_is_passed_over() -> None:
    registry = MemoryRegistry()
    newer = edited(
        "DocumentStarted", 2, lambda s: s["fields"].insert(1, {"name": "host", "type": "string", "default": ""})
    )
    row = {**asdict(STARTED), "host": "kestrel"}
    assert Codec(registry).decode(framed_as(registry, newer, row)) == STARTED


def test_a_field_that_an_older_release_did_not_have_takes_its_default() -> None:
    registry = MemoryRegistry([])
    older = edited("DocumentStarted", 1, lambda schema: schema["fields"].remove(field(schema, "attempt")))
    frame = framed_as(registry, older, asdict(STARTED))
    newer = [replace(schema, version=2) if schema.record == "DocumentStarted" else schema for schema in NEWEST.values()]
    codec = Codec(registry, schemas=[older, *newer])
    assert codec.decode(frame) == replace(STARTED, attempt=1)
    with pytest.raises(UnreadableEvent):
        codec.decode(frame + b"junk")
    with pytest.raises(UnreadableEvent):
        codec.decode(frame[:-1])


def test_blocks_that_tell_their_size_are_read_as_java_writes_them() -> None:
    event = JobSubmitted(meta=META, sources=("docs", "mail"))
    frame = CODEC.encode(event)
    items = b"\x08docs\x08mail"
    assert frame.count(b"\x04" + items + b"\x00") == 1
    negative_count, size = b"\x03", b"\x14"
    java = frame.replace(b"\x04" + items + b"\x00", negative_count + size + items + b"\x00")
    assert CODEC.decode(java) == event


@pytest.mark.parametrize(
    "event",
    [
        replace(STARTED, meta=replace(META, occurred_at=datetime(2026, 1, 1))),  # noqa: DTZ001 - naive on purpose
        replace(STARTED, parameters={"surrogate": "\udc80"}),
        replace(STARTED, attempt=2**63),
        replace(STARTED, attempt="twice"),
        replace(STARTED, document_id=None),
        DocumentFailed(meta=META, document_id=DOCUMENT, request_id=REQUEST, error_class="BAD_LUCK"),
        BatchProgress(meta=META, documents_per_minute="many"),
        DocumentQueued(meta=META, document_id=DOCUMENT, request_id=REQUEST, finding={"uri": "file:///a"}),
        replace(STARTED, document_id=DOCUMENT.encode()),
        replace(STARTED, attempt=2.0),
        DocumentRequested(meta=META, document_id=DOCUMENT, uri="push:a", content="text"),
    ],
    ids=[
        "naive-time",
        "lone-surrogate",
        "65-bits",
        "words-for-a-number",
        "no-id",
        "no-such-symbol",
        "words-for-a-fraction",
        "dict-for-finding",
        "bytes-for-text",
        "fraction-for-a-number",
        "text-for-bytes",
    ],
)
def test_a_value_that_its_field_cannot_hold_is_refused_by_name(event: Any) -> None:
    with pytest.raises(UnwritableEvent, match=type(event).__name__) as caught:
        CODEC.encode(event)
    assert caught.value.subject == META.event_id


def test_times_keep_their_microseconds_in_every_century() -> None:
    for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)):
        late = replace(STARTED, meta=replace(META, occurred_at=moment))
        assert CODEC.decode(CODEC.encode(late)) == late
    elsewhere = META.occurred_at.astimezone(timezone(timedelta(hours=5, minutes=45)))
    read = CODEC.decode(CODEC.encode(replace(STARTED, meta=replace(META, occurred_at=elsewhere))))
    assert read.meta.occurred_at.utcoffset() == timedelta(0)
    assert read == STARTED


def test_words_that_a_log_repeats_and_equal_times_in_a_row_are_read_as_one_object() -> None:
    frames = [
        CODEC.encode(replace(STARTED, attempt=attempt, meta=replace(META, job_id=JobId("job-ü")))) for attempt in (1, 2)
    ]
    first, second = (CODEC.decode(frame) for frame in frames)
    assert isinstance(first, DocumentStarted)
    assert isinstance(second, DocumentStarted)
    assert first.meta.job_id is second.meta.job_id
    assert first.meta.pipeline_id is second.meta.pipeline_id
    assert first.parameters["parse"] is second.parameters["parse"]
    assert first.meta.occurred_at is second.meta.occurred_at
    assert (first.meta.job_id, first.meta.occurred_at) == ("job-ü", META.occurred_at)


def test_what_is_read_as_one_object_does_not_grow_without_bound() -> None:
    for number in range(3 * KEPT_TEXTS):
        assert kept_text(str(number).encode()) == str(number)
    assert len(compiled_read._texts) <= KEPT_TEXTS


def test_long_words_are_read_and_not_remembered() -> None:
    """A request may name a source of 90,000 characters, each one another."""
    compiled_read._texts.clear()
    for number in range(50):
        request = replace(
            LONG_REQUEST, source_root=f"{number}-{'r' * 90_000}", metadata={f"{number}-{'k' * 90_000}": "v"}
        )
        assert CODEC.decode(CODEC.encode(request)) == request
    kept = compiled_read._texts
    assert max(map(len, kept)) <= KEPT_TEXT_BYTES
    assert sum(map(len, kept)) + sum(map(len, kept.values())) < 10_000


def test_every_word_that_is_said_to_repeat_is_one_of_an_event() -> None:
    kinds = {kind.__name__: kind for kind in vars(events).values() if is_dataclass(kind)}
    fields_of = {f"{name}.{field.name}" for name, kind in kinds.items() for field in fields(kind)}
    assert fields_of >= REPEATED


def test_times_near_each_other_and_as_far_before_1970_are_told_apart() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since = META.occurred_at - epoch
    steps = [timedelta(microseconds=number) for number in (0, 1, 2, 63, 64, 8_192, 1 << 20, 1 << 27, 1 << 28, 1 << 40)]
    moments = [epoch + sign * since + step for step in steps for sign in (1, -1, 1)]
    frames = [CODEC.encode(replace(STARTED, meta=replace(META, occurred_at=moment))) for moment in moments]
    assert [CODEC.decode(frame).meta.occurred_at for frame in frames] == moments
    assert len(set(frames)) == len(set(moments))


def test_defaults_are_written_as_they_stand() -> None:
    event = DocumentQueued(meta=META, document_id=DocumentId(DOCUMENT), request_id=EventId(REQUEST))
    read = CODEC.decode(CODEC.encode(event))
    assert read == event
    assert (read.action, read.finding, read.metadata) == (Action.INGEST, None, {})


def test_an_optional_record_is_written_where_it_is_given() -> None:
    finding = Finding(
        uri="file:///a", size_bytes=0, modified_at_ns=1_795_456_789_123_456_789, validators={"inode": "7"}
    )
    event = DocumentQueued(meta=META, document_id=DOCUMENT, request_id=REQUEST, finding=finding)
    assert CODEC.decode(CODEC.encode(event)) == event


def test_a_failure_keeps_when_to_try_again() -> None:
    event = DocumentFailed(
        meta=META,
        document_id=DOCUMENT,
        request_id=REQUEST,
        stage=Stage.FETCH,
        error_class=ErrorClass.TRANSIENT,
        is_final=False,
        retry_at=META.occurred_at + timedelta(seconds=30),
    )
    assert CODEC.decode(CODEC.encode(event)) == event
