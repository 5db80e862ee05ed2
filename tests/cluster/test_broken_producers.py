"""Producers that break the contract: each gets an event with the reason or is put right, and the partition goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas.avro_files import NAMESPACE, newest, released_schemas
from schemas.canonical import canonical_form
from schemas.codec import Codec
from schemas.events import (
    ArtifactRef,
    DocumentCancelled,
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentQueued,
    DocumentRequested,
    ErrorClass,
    Finding,
    Meta,
    RequestRejected,
)
from schemas.ids import DocumentId, EventId, document_id_of, event_id_of
from streams.documents.request_contract import MAX_CONTENT_BYTES, MAX_TEXT_BYTES
from streams.placement import partition_of
from tests.worlds.producers import ProducersWorld, producers_world

pytest.importorskip("confluent_kafka", reason="needs pip install 'refold[kafka]'")

SLOTS = 2
SHADOW = "file:///etc/shadow"
TEXT = b"Dear reader, all is well."
SCHEMA = newest(released_schemas())["DocumentRequested"]
_ordinals = count()


def asked(uri: str, **fields: Any) -> DocumentRequested:
    """A request that keeps the contract, but for `fields`."""
    meta = Meta(
        event_id=event_id_of("test", "DocumentRequested", next(_ordinals)),
        occurred_at=datetime.now(UTC),
        pipeline_id="test",
    )
    content = None if "finding" in fields or "content_ref" in fields else TEXT
    given = {"adapter": "push", "content": content, **fields}
    return replace(DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri), **given)


def letter(partition: int) -> str:
    """The uri of a new document that belongs to `partition`."""
    uris = (f"push:letters/{next(_ordinals)}" for _ in range(1_000))
    return next(uri for uri in uris if partition_of(document_id_of(uri), SLOTS) == partition)


@dataclass(frozen=True)
class Sent:
    """A record as it was sent, and what its rejection has to say."""

    partition: int
    value: bytes | None
    says: str


class Sender:
    """Sends what it is told to, wherever; after every record a good one to the same partition."""

    def __init__(self, world: ProducersWorld) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 - an extra

        self._world = world
        self._producer = Producer({"bootstrap.servers": world.servers, "message.max.bytes": 2_000_000})
        self.codec = Codec(world.registry)
        self.rejected: list[Sent] = []
        self.good: list[DocumentRequested] = []

    def send(self, value: bytes | None, *, partition: int = 0, key: bytes | None = b"k") -> None:
        """Send one record and a good one after it."""
        self._produce(value, partition, key)
        good = asked(letter(partition))
        self.good.append(good)
        self._produce(self.codec.encode(good), partition, good.document_id.encode())

    def reject(self, value: bytes | None, says: str, *, partition: int = 0, key: bytes | None = b"k") -> None:
        """Send what has to be rejected."""
        self.rejected.append(Sent(partition, value, says))
        self.send(value, partition=partition, key=key)

    def break_rule(self, request: DocumentRequested, says: str) -> None:
        """Send a request that has to be rejected."""
        self.reject(self.codec.encode(request), says, partition=1, key=request.document_id.encode())

    def ask(self, request: DocumentRequested, *, partition: int | None = None, key: bytes | None = None) -> None:
        """Send a request that has to be answered; by default as the contract says."""
        right = partition_of(request.document_id, SLOTS)
        key = request.document_id.encode() if key is None else key
        self.send(self.codec.encode(request), partition=right if partition is None else partition, key=key)

    def flush(self) -> None:
        """Return when Kafka has everything."""
        assert self._producer.flush(30) == 0

    def _produce(self, value: bytes | None, partition: int, key: bytes | None) -> None:
        def delivered(error: object, _: object) -> None:
            assert error is None, error

        topic = self._world.names.topic("requests")
        self._producer.produce(topic, value, key, partition=partition, on_delivery=delivered)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProducersWorld]:
    with producers_world(tmp_path) as world:
        yield world


@pytest.fixture
def sender(world: ProducersWorld) -> Sender:
    return Sender(world)


def completed(events: Sequence[Any], requests: Sequence[DocumentRequested]) -> bool:
    """Whether all of `requests` are answered DocumentCompleted."""
    done = {event.request_id for event in events if isinstance(event, DocumentCompleted)}
    return done >= {request.meta.event_id for request in requests}


def body_of(schema: dict[str, Any], row: dict[str, Any]) -> bytes:
    """`row` as `schema` writes it."""
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), row)
    return body.getvalue()


def check_rejections(world: ProducersWorld, sender: Sender) -> None:
    """Each rejected record has its event: where it stands, what it was, what is wrong with it."""
    wanted = len(sender.rejected)
    recorded = world.wait_for("adapters", lambda events: sum(isinstance(e, RequestRejected) for e in events) >= wanted)
    found = [(r.key, r.event) for r in recorded if isinstance(r.event, RequestRejected)]
    assert {key for key, _ in found} == {"requests"}
    for partition in range(SLOTS):
        sent = [one for one in sender.rejected if one.partition == partition]
        events = sorted((e for _, e in found if e.partition == partition), key=lambda event: event.offset)
        assert [event.sha256 for event in events] == [sha256(one.value or b"").hexdigest() for one in sent]
        assert [one.says for one, event in zip(sent, events, strict=True) if one.says not in event.error] == []
        assert {event.topic for event in events} <= {"requests"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_records_that_are_no_requests_are_rejected_with_the_reason(world: ProducersWorld, sender: Sender) -> None:
    whole = sender.codec.encode(asked("push:whole"))
    head, body = whole[:5], whole[5:]
    sender.reject(b'{"uri": "push:a"}', "look like JSON")
    sender.reject(None, "there are no bytes", key=None)
    sender.reject(b"\x00\x01", "do not begin with 0x00 and a schema id")
    sender.reject(b"\x00" + (2**31 - 7).to_bytes(4) + body, "the registry has no schema id 2147483641 of a subject")
    sender.reject(whole[:-1], "the body of a DocumentRequested is cut off", partition=1)
    sender.reject(whole + b"\x00", f"ends at byte {len(whole)} of {len(whole) + 1}")
    sender.reject(head + without_meta(), "does not read as DocumentRequested")
    sender.reject(with_a_schema_of_its_own(world), f"{world.names.topic('requests')}-{NAMESPACE}.")
    meta = asked("push:a").meta
    cancelled = DocumentCancelled(meta=meta, document_id=document_id_of("push:a"), request_id=meta.event_id)
    sender.reject(sender.codec.encode(cancelled), "a DocumentCancelled is no request", partition=1)
    sender.reject(whole, "its key is no text", key=b"\xff\x00raw")
    sender.flush()
    world.wait_for("documents", lambda events: completed(list(events), sender.good))
    check_rejections(world, sender)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_requests_that_break_a_rule_are_rejected_with_the_rule(world: ProducersWorld, sender: Sender) -> None:
    uri = "push:letters/broken"
    sender.break_rule(asked(""), "the uri is empty")
    sender.break_rule(asked("HTTP://Host:80/a/../b"), "write 'http://host/b'")
    sender.break_rule(asked("report.pdf"), "none of file:, folder:")
    sender.break_rule(replace(asked(uri), document_id=document_id_of("push:other")), document_id_of(uri))
    sender.break_rule(replace(asked(uri), document_id=DocumentId("7")), document_id_of(uri))
    sender.break_rule(replace(asked(uri), meta=replace(asked(uri).meta, event_id=EventId("mail 7"))), "no uuid")
    sender.break_rule(asked(uri, content=b"x" * (MAX_CONTENT_BYTES + 1)), "send content_ref")
    sender.break_rule(asked(uri, metadata={"all": "x" * MAX_TEXT_BYTES}), "more than 262144")
    sender.break_rule(asked(uri, metadata={"nul": "\0"}), "U+0000")
    sender.break_rule(asked("push:" + "y" * 1_800_000), "more than 262144")
    sender.break_rule(asked(uri, content_ref=ArtifactRef(sha256="../../etc/shadow", size_bytes=1)), "content_ref")
    sender.reject(of_a_later_release(world, asked(uri)), "action is not known", partition=1)
    sender.flush()
    world.wait_for("documents", lambda events: completed(list(events), sender.good))
    check_rejections(world, sender)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_can_be_put_right_is_and_the_rest_is_answered(world: ProducersWorld, sender: Sender) -> None:
    astray = [asked(letter(0)), asked(letter(1))]
    for request in astray:
        sender.ask(request, partition=1 - partition_of(request.document_id, SLOTS))
    misnamed, keyless, both = asked(letter(0)), asked(letter(1)), asked(letter(1))
    sender.ask(misnamed, key=b"letters")
    sender.ask(keyless, key=b"")
    sender.ask(both, partition=0, key=b"letters")
    ahead = asked(letter(0))
    ahead = replace(ahead, meta=replace(ahead.meta, occurred_at=datetime(9999, 1, 1, tzinfo=UTC)))
    sender.ask(ahead, partition=1)
    twice = asked(letter(0))
    sender.ask(twice)
    sender.ask(twice)
    sender.ask(replace(twice, content=b"other content under the same id"))
    (world.folder / "report.txt").write_text("What the workers may read.")
    allowed = (world.folder / "report.txt").as_uri()
    report = asked(allowed, adapter="folder", finding=Finding(uri=allowed))
    sender.ask(report)
    stolen = asked(SHADOW, adapter="folder", finding=Finding(uri=SHADOW))
    hidden = asked(letter(0), adapter="folder", finding=Finding(uri=SHADOW))
    (world.folder / "link").symlink_to("/etc")
    linked = asked(letter(1), adapter="folder", finding=Finding(uri=f"{world.folder.as_uri()}/link/shadow"))
    unknown = asked(letter(1), adapter="fax", finding=Finding(uri="fax:7"))
    for request in (stolen, hidden, linked, unknown):
        sender.ask(request)
    sender.flush()
    failing = {r.meta.event_id for r in (stolen, hidden, linked, unknown)}
    good = [*sender.good, *astray, misnamed, keyless, both, ahead, twice, report]

    def all_answered(events: Sequence[Any]) -> bool:
        failed = {event.request_id for event in events if isinstance(event, DocumentFailed)}
        return completed(events, good) and failed >= failing

    recorded = world.wait_for("documents", lambda events: all_answered(list(events)))
    events = [one.event for one in recorded if isinstance(one.event, DocumentEvent)]
    assert all(one.key == one.event.document_id for one in recorded if isinstance(one.event, DocumentEvent))
    queued = [event.request_id for event in events if isinstance(event, DocumentQueued)]
    assert sorted(queued) == sorted({*failing, *(request.meta.event_id for request in good)})  # each taken once
    failures = {event.request_id: event for event in events if isinstance(event, DocumentFailed)}
    assert {(e.error_class, e.is_final) for e in failures.values()} == {(ErrorClass.PERMANENT, True)}
    codes = {request_id: event.error_code for request_id, event in failures.items()}
    assert codes.pop(unknown.meta.event_id) == "unknown_adapter"
    assert set(codes.values()) == {"path_not_allowed"}
    assert [e for e in events if isinstance(e, DocumentQueued) and e.meta.occurred_at.year > 9_000] == []


def without_meta() -> bytes:
    """A body that begins with document_id."""
    schema = json.loads(SCHEMA.canonical)
    bare = {**schema, "fields": schema["fields"][1:]}
    return body_of(bare, {"document_id": document_id_of("push:a"), "uri": "push:a"})


def with_a_schema_of_its_own(world: ProducersWorld) -> bytes:
    """What a serialiser with its default settings makes: it registers whatever it is given, as <topic>-value."""
    schema = {
        "type": "record",
        "name": "DocumentRequested",
        "namespace": NAMESPACE,
        "fields": [{"name": "document_id", "type": "string"}, {"name": "uri", "type": "string"}],
    }
    schema_id = world.client.register(f"{world.names.topic('requests')}-value", canonical_form(schema))
    assert schema_id is not None
    return b"\x00" + schema_id.to_bytes(4) + body_of(schema, {"document_id": document_id_of("push:a"), "uri": "push:a"})


def of_a_later_release(world: ProducersWorld, request: DocumentRequested) -> bytes:
    """`request`, but with an action that only the next version of its schema knows."""
    schema = json.loads(SCHEMA.canonical)
    action = next(field["type"] for field in schema["fields"] if field["name"] == "action")
    action["symbols"].append("TRANSLATE")
    subject = f"{world.names.topic('requests')}-{NAMESPACE}.DocumentRequested"
    world.client.register(subject, canonical_form(schema))
    held = world.client.version(subject, 2)
    assert held is not None
    row = {
        "meta": {
            "event_id": request.meta.event_id,
            "occurred_at": request.meta.occurred_at,
            "pipeline_id": request.meta.pipeline_id,
        },
        "document_id": request.document_id,
        "uri": request.uri,
        "action": "TRANSLATE",
    }
    return b"\x00" + held.schema_id.to_bytes(4) + body_of(schema, row)
