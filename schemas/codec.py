"""Events to bytes and back: Confluent framing around Avro.

```text
0x00 · schema id, 4 bytes big-endian · Avro body, without schema
```

Bodies of the newest schemas, which are nearly all, go through `schemas/compiled/record.py`; fastavro resolves what was
written with another version.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import events
from schemas.avro_files import newest, released_schemas
from schemas.canonical import without_logical_types
from schemas.compiled.record import CompiledRecord, compile_record
from schemas.errors import FatalError, PoisonError
from schemas.events import TOPICS, PipelineEvent
from schemas.registry import SchemaRegistry, WriterSchema
from schemas.upcast import UPCASTS, Row, Upcasts, upcast

MAGIC = b"\x00"
FRAME_BYTES = 5
"""What stands before the body: the magic byte and the schema id."""

ABSENT_S = 5.0
"""How long an id that the registry did not know is not asked for again: a flood of bad frames asks once in that time,
and what was sent before its schema was registered is read soon after."""

ABSENT_IDS = 1_000
"""How many such ids are remembered; when there are more, all are forgotten."""

_KINDS = frozenset(kind.__name__ for kinds in TOPICS.values() for kind in kinds)
_MISFITS = (TypeError, ValueError, KeyError, AttributeError, OverflowError, struct.error)
_MISREADS = (EOFError, ValueError, LookupError, TypeError, OverflowError, struct.error)


class UnreadableEvent(PoisonError):  # noqa: N818 - a state, as in the error tree
    """These bytes are no event."""


class UnwritableEvent(PoisonError):  # noqa: N818 - as above
    """This event holds a value that its schema cannot say."""


class UnknownKind(FatalError):  # noqa: N818 - as above
    """An event of a kind that this release does not know: readers are deployed before writers."""


class UnknownSchemaId(UnknownKind):
    """The registry has no schema of this corpus under the id that an event names."""


Reader = Callable[[bytes, int], tuple[PipelineEvent, int]]
"""Gives the event whose body begins at an offset, and the offset after it."""


class Codec:
    """Turns events into framed bytes and back.

    Events are written with the newest schema of their kind. What was written with another version is resolved to the
    newest (missing fields take their defaults, unknown enum symbols become UNKNOWN), and what is no longer a kind goes
    through `upcasts`. Thread-safe; the functions for a kind or an id are built when it is first seen.

    Args:
        registry: Knows the ids of schemas; what it answers is kept, that it knows nothing for `ABSENT_S`.
        schemas: Of this release.
        upcasts: Turn what is no longer a kind into what is.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        *,
        schemas: Sequence[WriterSchema] | None = None,
        upcasts: Upcasts = UPCASTS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._newest = newest(released_schemas() if schemas is None else schemas)
        self._upcasts = upcasts
        self._writing: dict[type, tuple[bytes, Callable[[Any], str]]] = {}
        self._writers: dict[bytes, WriterSchema] = {}
        self._readers: dict[str, Reader] = {}
        self._frame_readers: dict[bytes, Reader] = {}
        self._absent_until_s: dict[int, float] = {}

    def encode(self, event: PipelineEvent) -> bytes:
        """The frame of `event`.

        Raises:
            UnwritableEvent: a value does not fit its field.
        """
        head, write = self._writing.get(type(event)) or self._written(type(event))
        try:
            return head + write(event).encode("latin-1")
        except _MISFITS as exc:
            raise _unwritable(event, f"holds a value that its schema cannot say: {exc}") from exc

    def decode(self, data: bytes) -> PipelineEvent:
        """The event in the frame `data`.

        Raises:
            UnreadableEvent: it is no frame, or its body is not exactly one event.
            UnknownSchemaId: the registry has no such schema.
            UnknownKind: its record is not known here.
        """
        head = data[:FRAME_BYTES]
        read = self._frame_readers.get(head) or self._frame_reader(head)
        try:
            event, end = read(data, FRAME_BYTES)
        except _MISREADS as exc:
            raise UnreadableEvent(f"the body does not read as {self.kind_of(data)}: {exc}", op="decode") from exc
        if end > len(data):
            raise UnreadableEvent(f"the body of a {self.kind_of(data)} is cut off", op="decode")
        if end < len(data):
            raise UnreadableEvent(f"a {self.kind_of(data)} ends at byte {end} of {len(data)}", op="decode")
        return event

    def kind_of(self, data: bytes) -> str:
        """The name of the record in the frame `data`, without reading its body; raises as `decode` does."""
        return self.writer_of(data).record

    def writer_of(self, data: bytes) -> WriterSchema:
        """The schema that the frame `data` was written with; raises as `decode` does."""
        head = data[:FRAME_BYTES]
        return self._writers.get(head) or self._writer(head)

    def read_body(self, writer: WriterSchema, data: bytes, at: int) -> tuple[PipelineEvent, int]:
        """The event that was written with `writer` at offset `at` of `data`, and the offset after it.

        Raises:
            UnreadableEvent: there is none.
            UnknownKind: its record is not known here.
        """
        read = self._readers.get(writer.fingerprint) or self._reader(writer)
        try:
            event, end = read(data, at)
        except _MISREADS as exc:
            raise UnreadableEvent(f"the body does not read as {writer.record}: {exc}", op="decode") from exc
        if end > len(data):
            raise UnreadableEvent(f"the body of a {writer.record} is cut off", op="decode")
        return event, end

    def _written(self, kind: type[Any]) -> tuple[bytes, Callable[[Any], str]]:
        """What every frame of `kind` begins with, and what writes its body."""
        schema = self._newest[kind.__name__]
        head = MAGIC + self._registry.id_of(schema.record, schema.version).to_bytes(FRAME_BYTES - 1)
        self._writing[kind] = head, _compiled(schema).write
        return self._writing[kind]

    def _writer(self, head: bytes) -> WriterSchema:
        if len(head) < FRAME_BYTES or head[:1] != MAGIC:
            raise UnreadableEvent(_unframed(head), op="decode")
        schema_id = int.from_bytes(head[1:])
        if self._monotonic() < self._absent_until_s.get(schema_id, 0.0):
            raise _unknown_kind(f"schema id {schema_id}", UnknownSchemaId)
        writer = self._registry.schema_of(schema_id)
        if writer is None:
            self._note_absent(schema_id)
            raise _unknown_kind(f"schema id {schema_id}", UnknownSchemaId)
        self._writers[head] = writer
        return writer

    def _note_absent(self, schema_id: int) -> None:
        if len(self._absent_until_s) >= ABSENT_IDS:
            self._absent_until_s.clear()
        self._absent_until_s[schema_id] = self._monotonic() + ABSENT_S

    def _frame_reader(self, head: bytes) -> Reader:
        writer = self.writer_of(head)
        read = self._frame_readers[head] = self._readers.get(writer.fingerprint) or self._reader(writer)
        return read

    def _reader(self, writer: WriterSchema) -> Reader:
        newest = self._newest.get(writer.record)
        if (writer.record, writer.version) in self._upcasts:
            read = self._upcasting(writer)
        elif newest is None or not self._is_kind(writer.record):
            raise _unknown_kind(f"{writer.record} version {writer.version}")
        elif writer.fingerprint == newest.fingerprint:
            read = _compiled(newest).read
        else:
            read = self._resolving(writer)
        self._readers[writer.fingerprint] = read
        return read

    def _resolving(self, writer: WriterSchema) -> Reader:
        written, wanted = _parsed(writer), _parsed(self._newest[writer.record])

        def read(data: bytes, at: int) -> tuple[PipelineEvent, int]:
            row, end = _read_row(data, at, written=written, wanted=wanted)
            return self._event(writer.record, row), end

        return read

    def _upcasting(self, writer: WriterSchema) -> Reader:
        written = _parsed(writer)

        def read(data: bytes, at: int) -> tuple[PipelineEvent, int]:
            row, end = _read_row(data, at, written=written, wanted=None)
            made = upcast(writer.record, writer.version, row, steps=self._upcasts)
            if not self._is_kind(made.record):
                raise _unknown_kind(f"{made.record} version {made.version}")
            return self._event(made.record, made.row), end

        return read

    def _event(self, record: str, row: Row) -> PipelineEvent:
        """The event of a row of the newest version of `record`."""
        schema, body = self._newest[record], BytesIO()
        schemaless_writer(body, _parsed(schema), row)
        event: PipelineEvent = _compiled(schema).read(body.getvalue(), 0)[0]
        return event

    def _is_kind(self, record: str) -> bool:
        return record in self._newest and record in _KINDS


def check_writable(event: PipelineEvent, *, limit_bytes: int) -> None:
    """Raise UnwritableEvent unless any codec can encode `event`, in a body of at most `limit_bytes`."""
    try:
        size_bytes = len(_compiled(_newest_released()[type(event).__name__]).write(event))
    except _MISFITS as exc:
        raise _unwritable(event, f"holds a value that its schema cannot say: {exc}") from exc
    if size_bytes > limit_bytes:
        raise _unwritable(event, f"has {size_bytes} bytes, more than {limit_bytes}")


@cache
def _newest_released() -> dict[str, WriterSchema]:
    return newest(released_schemas())


@cache
def _compiled(schema: WriterSchema) -> CompiledRecord:
    return compile_record(json.loads(schema.canonical), vars(events))


def _unwritable(event: PipelineEvent, what: str) -> UnwritableEvent:
    return UnwritableEvent(f"{type(event).__name__} {what}", op="encode", subject=event.meta.event_id)


def _read_row(data: bytes, at: int, *, written: Any, wanted: Any) -> tuple[Row, int]:
    body = BytesIO(data)
    body.seek(at)
    row = schemaless_reader(body, written, wanted)
    return cast("Row", row), body.tell()


@cache
def _parsed(schema: WriterSchema) -> Any:
    return parse_schema(without_logical_types(json.loads(schema.canonical)))


def _unframed(head: bytes) -> str:
    """What to say of a record that begins with `head`."""
    if not head:
        return "there are no bytes: an event begins with 0x00 and a schema id"
    looks = ", and look like JSON" if head.lstrip()[:1] in {b"{", b"["} else ""
    return f"the bytes do not begin with 0x00 and a schema id{looks}"


def _unknown_kind(what: str, error: type[UnknownKind] = UnknownKind) -> UnknownKind:
    return error(
        f"{what} is not known to this release",
        op="decode",
        subject=what,
        hint="install the release that wrote it, or a newer one",
    )
