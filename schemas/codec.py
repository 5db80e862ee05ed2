"""Events to bytes and back: Confluent framing around Avro.

```text
0x00 · schema id, 4 bytes big-endian · Avro body, without schema
```
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas.avro_files import newest, released_schemas
from schemas.canonical import without_logical_type
from schemas.errors import FatalError, PoisonError
from schemas.events import TOPICS, PipelineEvent
from schemas.registry import SchemaRegistry, WriterSchema
from schemas.rows import row_of, value_of
from schemas.upcast import UPCASTS, Upcasts, upcast

MAGIC = b"\x00"
_FRAME_BYTES = 5


class UnreadableEvent(PoisonError):  # noqa: N818 - a state, as in the error tree
    """These bytes are no event."""


class UnwritableEvent(PoisonError):  # noqa: N818 - as above
    """This event holds a value that its schema cannot say."""


class UnknownKind(FatalError):  # noqa: N818 - as above
    """An event of a kind that this release does not know: readers are deployed before writers."""


class Codec:
    """Turns events into framed bytes and back.

    Events are written with the newest schema of their kind. What was written with another version is resolved to the
    newest (missing fields take their defaults, unknown enum symbols become UNKNOWN), and what is no longer a kind goes
    through `upcasts`. Thread-safe; the functions for a class or an id are built when it is first seen.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        *,
        schemas: Sequence[WriterSchema] | None = None,
        upcasts: Upcasts = UPCASTS,
    ) -> None:
        self._registry = registry
        self._newest = newest(released_schemas() if schemas is None else schemas)
        self._upcasts = upcasts
        self._kinds: dict[str, type[Any]] = {kind.__name__: kind for kinds in TOPICS.values() for kind in kinds}
        self._encoders: dict[type, Callable[[Any], bytes]] = {}
        self._decoders: dict[bytes, Callable[[bytes], PipelineEvent]] = {}
        self._names: dict[bytes, str] = {}

    def encode(self, event: PipelineEvent) -> bytes:
        """The frame of `event`.

        Raises:
            UnwritableEvent: a value does not fit its field.
        """
        encoder = self._encoders.get(type(event)) or self._encoder(type(event))
        try:
            return encoder(event)
        except (TypeError, ValueError, OverflowError, AttributeError) as exc:
            raise UnwritableEvent(
                f"{type(event).__name__} holds a value that its schema cannot say: {exc}",
                op="encode",
                subject=event.meta.event_id,
            ) from exc

    def decode(self, data: bytes) -> PipelineEvent:
        """The event in the frame `data`.

        Raises:
            UnreadableEvent: it is no frame, or its body is not exactly one event.
            UnknownKind: its schema, or its record, is not known here.
        """
        head = data[:_FRAME_BYTES]
        decoder = self._decoders.get(head) or self._decoder(head)
        try:
            return decoder(data)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError) as exc:
            raise UnreadableEvent(f"the body does not read as {self.kind_of(data)}: {exc}", op="decode") from exc

    def kind_of(self, data: bytes) -> str:
        """The name of the record in the frame `data`, without reading its body; raises as `decode` does."""
        head = data[:_FRAME_BYTES]
        return self._names.get(head) or self._writer_schema(head).record

    def _encoder(self, kind: type[Any]) -> Callable[[Any], bytes]:
        schema = self._newest[kind.__name__]
        head = MAGIC + self._registry.id_of(schema.record, schema.version).to_bytes(4)
        parsed, row = _parsed(schema), row_of(kind)

        def encode(event: PipelineEvent) -> bytes:
            out = BytesIO()
            out.write(head)
            schemaless_writer(out, parsed, row(event))
            return out.getvalue()

        self._encoders[kind] = encode
        return encode

    def _decoder(self, head: bytes) -> Callable[[bytes], PipelineEvent]:
        writer = self._writer_schema(head)
        decode = self._upcasting(writer) if (writer.record, writer.version) in self._upcasts else self._reading(writer)
        self._decoders[head] = decode
        return decode

    def _reading(self, writer: WriterSchema) -> Callable[[bytes], PipelineEvent]:
        reader = self._newest.get(writer.record)
        kind = self._kinds.get(writer.record)
        if reader is None or kind is None:
            raise _unknown_kind(f"{writer.record} version {writer.version}")
        written = _parsed(writer)
        # Resolution costs time, and there is nothing to resolve where reader and writer agree.
        wanted = None if reader.fingerprint == writer.fingerprint else _parsed(reader)
        value = value_of(kind)

        def decode(data: bytes) -> PipelineEvent:
            event: PipelineEvent = value(_read_row(data, written, wanted))
            return event

        return decode

    def _upcasting(self, writer: WriterSchema) -> Callable[[bytes], PipelineEvent]:
        written = _parsed(writer)

        def decode(data: bytes) -> PipelineEvent:
            made = upcast(writer.record, writer.version, _read_row(data, written, None), steps=self._upcasts)
            kind = self._kinds.get(made.record)
            if kind is None:
                raise _unknown_kind(f"{made.record} version {made.version}")
            event: PipelineEvent = value_of(kind)(made.row)
            return event

        return decode

    def _writer_schema(self, head: bytes) -> WriterSchema:
        if len(head) < _FRAME_BYTES or head[:1] != MAGIC:
            raise UnreadableEvent("the bytes do not begin with 0x00 and a schema id", op="decode")
        schema_id = int.from_bytes(head[1:])
        writer = self._registry.schema_of(schema_id)
        if writer is None:
            raise _unknown_kind(f"schema id {schema_id}")
        self._names[head] = writer.record
        return writer


def _read_row(data: bytes, written: Any, wanted: Any) -> dict[str, Any]:
    body = BytesIO(data)
    body.seek(_FRAME_BYTES)
    row: Any = schemaless_reader(body, written, wanted)
    if body.tell() != len(data):
        raise ValueError(f"{len(data) - body.tell()} bytes are left over")
    return cast("dict[str, Any]", row)


def _parsed(schema: WriterSchema) -> Any:
    # Ids stay strings and times stay integers: the bytes are those of the logical types, which cost time.
    plain = without_logical_type(without_logical_type(json.loads(schema.canonical), "uuid"), "timestamp-micros")
    return parse_schema(plain)


def _unknown_kind(what: str) -> UnknownKind:
    return UnknownKind(
        f"{what} is not known to this release",
        op="decode",
        subject=what,
        hint="install the release that wrote it, or a newer one",
    )
