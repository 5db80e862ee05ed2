"""Events of one partition as Avro object container files, which any Avro reader can read.

Each entry is ``{offset, key, event}``, where event is the union of the topic's records, every one in the schema it was
written with. A file can hold one version of a record, so a second version starts the next file:
``<topic>-<partition>-<n>.avro``, n from 1. The header carries the log's id, topic and partition, and each record's
version.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fastavro

from schemas.avro_files import released_schemas
from schemas.canonical import canonical_form, expanded, fingerprint_of, folded
from schemas.codec import FRAME_BYTES, Codec, UnreadableEvent
from schemas.durable import sync_path
from schemas.errors import FatalError, MachineError
from schemas.events import TOPICS, PipelineEvent
from schemas.registry import WriterSchema
from schemas.varints import long_bytes, varint_at

BLOCK_BYTES = 64 * 1024
"""How much is gathered before a block is compressed and written: what writing or reading holds in memory."""

ENTRY_NAME = "refold.log.Entry"
_CODEC = "deflate"  # the only compression that every Avro library must have
_RAW_DEFLATE = -zlib.MAX_WBITS


class ContainerDamaged(FatalError):  # noqa: N818 - a state, as in the error tree
    """A container file does not read back."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the entries of a container come from."""

    log_id: str
    topic: str
    partition: int


class Entry(NamedTuple):
    """An event with its place and key."""

    offset: int
    key: str
    event: PipelineEvent


def write_containers(
    folder: Path,
    entries: Iterable[tuple[int, str, PipelineEvent | bytes]],
    *,
    origin: Origin,
    codec: Codec,
    schemas: Sequence[WriterSchema] | None = None,
) -> list[Path]:
    """The files in `folder` that now hold `entries` (offset, key, event or its frame); none where there are none.

    A frame's body is copied as it is, in the schema it was written with; an event is written in the newest. A file gets
    its name when it is whole and durable; files of an earlier export stay, so `folder` should be empty. `schemas` are
    the versions to choose a file's other records from; all of this release if None.

    Raises:
        MachineError: the folder cannot be written.
    """
    known = released_schemas() if schemas is None else schemas
    paths: list[Path] = []
    container: _Container | None = None
    try:
        for offset, key, event in entries:
            frame = event if isinstance(event, bytes) else codec.encode(event)
            writer = codec.writer_of(frame)
            if container is None or not container.takes(writer):
                if container is not None:
                    container.finish()
                path = folder / f"{origin.topic}-{origin.partition}-{len(paths) + 1}.avro"
                container = _Container(path, origin, _chosen(writer, known, origin.topic))
                paths.append(path)
            container.add(offset, key, writer, frame[FRAME_BYTES:])
        if container is not None:
            container.finish()
    except OSError as exc:
        raise MachineError(f"{folder} cannot be written: {exc}", op="export", subject=str(folder)) from exc
    finally:
        if container is not None:
            container.close()
    return paths


def read_container(path: Path, *, codec: Codec) -> Iterator[Entry]:
    """The entries of the container at `path`, one block at a time in memory.

    Raises:
        ContainerDamaged: it is no container of events, or ends or reads wrong somewhere.
        UnknownKind: it holds a record that this release does not know.
        MachineError: the file cannot be read.
    """
    with _mapped_os_errors(path), path.open("rb") as file:
        blocks = fastavro.block_reader(file)
        writers = _writers(json.loads(blocks.metadata["avro.schema"]), json.loads(blocks.metadata["refold.versions"]))
        end = file.tell()
        for block in blocks:
            data = block.bytes_.getvalue()  # type: ignore[attr-defined]  # its stub leaves it out
            yield from _entries(data, block.num_records, writers, codec)
            end = block.offset + block.size
        if end != path.stat().st_size:
            raise ValueError(f"{path.stat().st_size - end} bytes stand after the last block")


def _entries(data: bytes, count: int, writers: Sequence[WriterSchema], codec: Codec) -> Iterator[Entry]:
    at = 0
    for _ in range(count):
        offset, at = varint_at(data, at)
        size, at = varint_at(data, at)
        key_end = at + (size >> 1)
        branch, body = varint_at(data, key_end)
        event, end = codec.read_body(writers[branch >> 1], data, body)
        yield Entry(offset >> 1, data[at:key_end].decode(), event)
        at = end
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes of a block are left over")


def _writers(entry_schema: Any, versions: dict[str, int]) -> list[WriterSchema]:
    """The schema of each branch of the union, as it would stand in a file of its own."""
    (branches,) = (field["type"] for field in entry_schema["fields"] if field["name"] == "event")
    writers = []
    for branch in expanded(branches):
        canonical = canonical_form(folded(branch))
        record = branch["name"].rpartition(".")[2]
        writers.append(WriterSchema(record, versions[record], canonical, fingerprint_of(canonical)))
    return writers


def _chosen(first: WriterSchema, known: Sequence[WriterSchema], topic: str) -> list[WriterSchema]:
    """One version of each record of `topic`, `first` among them: the newest that can stand in one schema with it."""
    chosen = {first.record: first}
    definitions: dict[str, Any] = {}
    expanded(json.loads(first.canonical), definitions)
    records = {kind.__name__ for kind in TOPICS[topic]}
    for schema in sorted(known, key=lambda schema: schema.version, reverse=True):
        if schema.record in chosen or schema.record not in records:
            continue
        named: dict[str, Any] = {}
        expanded(json.loads(schema.canonical), named)
        if all(definitions.get(name, named[name]) == named[name] for name in named):
            chosen[schema.record] = schema
            definitions.update(named)
    return [chosen[record] for record in sorted(chosen)]


class _Container:
    """One file in the making, under another name until it is whole."""

    def __init__(self, path: Path, origin: Origin, schemas: Sequence[WriterSchema]) -> None:
        self._path = path
        self._partial = path.with_suffix(".partial")
        self._branches = {schema.fingerprint: long_bytes(index) for index, schema in enumerate(schemas)}
        self._sync = sha256(f"{origin.log_id}/{path.name}".encode()).digest()[: fastavro.read.SYNC_SIZE]
        self._pending = bytearray()
        self._count = 0
        self._file: BinaryIO = self._partial.open("wb")
        _write_header(self._file, origin, schemas, self._sync)

    def takes(self, writer: WriterSchema) -> bool:
        """Whether this file's schema has that version of that record."""
        return writer.fingerprint in self._branches

    def add(self, offset: int, key: str, writer: WriterSchema, body: bytes) -> None:
        """Append an entry."""
        text = key.encode()
        self._pending += long_bytes(offset) + long_bytes(len(text)) + text + self._branches[writer.fingerprint] + body
        self._count += 1
        if len(self._pending) >= BLOCK_BYTES:
            self._write_block()

    def finish(self) -> None:
        """Make the file durable and give it its name."""
        if self._count:
            self._write_block()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        sync_path(self._path.parent)

    def close(self) -> None:
        """Leave nothing behind of a file that was not finished; idempotent."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _write_block(self) -> None:
        squeeze = zlib.compressobj(wbits=_RAW_DEFLATE)
        packed = squeeze.compress(self._pending) + squeeze.flush()
        self._file.write(long_bytes(self._count) + long_bytes(len(packed)) + packed + self._sync)
        self._pending.clear()
        self._count = 0


def _write_header(file: BinaryIO, origin: Origin, schemas: Sequence[WriterSchema], sync: bytes) -> None:
    union = folded([expanded(json.loads(schema.canonical)) for schema in schemas])
    fields = [{"name": "offset", "type": "long"}, {"name": "key", "type": "string"}, {"name": "event", "type": union}]
    metadata = {
        "refold.log_id": origin.log_id,
        "refold.topic": origin.topic,
        "refold.partition": str(origin.partition),
        "refold.versions": json.dumps({schema.record: schema.version for schema in schemas}),
    }
    schema = {"type": "record", "name": ENTRY_NAME, "fields": fields}
    fastavro.writer(file, schema, [], codec=_CODEC, metadata=metadata, sync_marker=sync)


@contextmanager
def _mapped_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise MachineError(f"{path} cannot be read: {exc}", op="read container", subject=str(path)) from exc
    except (EOFError, ValueError, LookupError, TypeError, zlib.error, UnreadableEvent) as exc:
        raise ContainerDamaged(
            f"{path.name} does not read back: {exc}",
            op="read container",
            subject=str(path),
            hint="export it again, or take another copy",
        ) from exc
