"""The bytes of a version's artifacts: its text, its chunks and its vectors.

The same contents always give the same bytes, so that artifacts of equal contents are one. Text is Zstandard-compressed
UTF-8. Chunks are one Avro object container file. Vectors are bare float32, little-endian, one row per chunk.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import fastavro
import numpy as np
import zstandard
from numpy.typing import NDArray

from schemas.blanks import blank_of
from schemas.errors import PoisonError

TEXT_LEVEL = 1
"""Zstandard level: on source and documentation texts 3 saves 4% more and takes three times as long."""

CHUNKS_CODEC = "deflate"
"""The compressed codec every Avro reader must know; Zstandard was no faster here and needs one more library."""

CHUNKS_LEVEL = 3
"""Deflate level: as fast as 1 here, 4% smaller; 6 saves 2% more and takes twice as long."""

CHUNKS_BLOCK_BYTES = 256 * 1024
"""Uncompressed bytes of one container block: most versions are one block, which compresses best."""

MAX_CHAR_BYTES = 4
"""What a character takes at most in UTF-8."""

_SYNC_MARKER = b"refold.contents."  # 16 bytes; a random one, fastavro's default, would give other bytes every time

_CHUNK_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Chunk",
        "namespace": "refold.contents",
        "fields": [
            {"name": "ordinal", "type": "int"},
            {"name": "start", "type": "long"},
            {"name": "end", "type": "long"},
            {"name": "page", "type": ["null", "int"], "default": None},
            {"name": "text", "type": "string"},
            {"name": "text_hash", "type": "string"},
        ],
    }
)

_CHUNKS_SCHEMA = fastavro.parse_schema({"type": "array", "items": _CHUNK_SCHEMA})

_VECTOR_DTYPE = np.dtype("<f4")


class UnreadableContents(PoisonError):  # noqa: N818 - a state, as in the error tree
    """An artifact does not hold what it is said to hold."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A slice of a version's text.

    Attributes:
        ordinal: Its number within the version, from 0.
        start: First character of the slice.
        end: One past its last character.
        page: The page it begins on, from 1; None where the document has no pages.
        text: ``version_text[start:end]``.
        text_hash: SHA-256 of the text's UTF-8, 64 lower-case hex digits.
    """

    ordinal: int
    start: int
    end: int
    page: int | None
    text: str
    text_hash: str


_NO_CONTAINER = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    MemoryError,  # a length that was damaged
    OverflowError,
    zlib.error,
    fastavro.read.SchemaResolutionError,
    fastavro.schema.SchemaParseException,
    fastavro.schema.UnknownType,
)
"""What fastavro raises of bytes that are no container of chunks."""

_BlankChunk = blank_of(Chunk)


def encode_text(text: str) -> bytes:
    """`text` as compressed UTF-8; a lone surrogate, which UTF-8 cannot carry, is a UnicodeEncodeError."""
    return zstandard.compress(text.encode(), TEXT_LEVEL)


def decode_text(data: bytes) -> str:
    """The text that `encode_text` was given.

    Raises:
        UnreadableContents: `data` is not compressed UTF-8.
    """
    try:
        return zstandard.decompress(data).decode()
    except (zstandard.ZstdError, UnicodeDecodeError, MemoryError) as exc:  # a length that was damaged
        raise _unreadable("text", exc) from exc


def check_packed_text(data: bytes, *, max_chars: int) -> None:
    """Raise UnreadableContents unless `data` begins as `encode_text` begins a text of at most `max_chars`.

    It then unpacks into no more memory than that text takes.
    """
    try:
        size_bytes = zstandard.frame_content_size(data)
    except zstandard.ZstdError as exc:
        raise _unreadable("text", exc) from exc
    if not 0 <= size_bytes <= max_chars * MAX_CHAR_BYTES:
        raise _unreadable("text", ValueError(f"it unpacks to {size_bytes} bytes"))


def check_packed_chunks(data: bytes) -> None:
    """Raise UnreadableContents unless `data` begins as `encode_chunks` of this release begins."""
    if not data.startswith(_HEADER):
        raise _unreadable("chunks", ValueError("it does not begin as chunks do"))


def encode_chunks(chunks: Sequence[Chunk]) -> bytes:
    """`chunks` as one Avro object container file."""
    return _container_of([_record(chunk) for chunk in chunks])


def decode_chunks(data: bytes) -> list[Chunk]:
    """The chunks that `encode_chunks` was given, also where a later release added fields to them.

    Raises:
        UnreadableContents: `data` is not a whole container of chunks.
    """
    try:
        return [_chunk(record) for record in _records(data)]
    except _NO_CONTAINER as exc:
        raise _unreadable("chunks", exc) from exc


def encode_vectors(vectors: NDArray[np.float32]) -> bytes:
    """`vectors`, of shape (chunks, dim), as rows of little-endian float32."""
    return vectors.astype(_VECTOR_DTYPE, copy=False).tobytes()


def decode_vectors(data: bytes, dim: int) -> NDArray[np.float32]:
    """The vectors in `data`, of shape (chunks, dim); a read-only view of it.

    Raises:
        UnreadableContents: `data` is no whole number of rows.
    """
    if len(data) % (dim * _VECTOR_DTYPE.itemsize):
        raise UnreadableContents(f"{len(data)} bytes are no whole rows of {dim} float32 numbers", op="decode vectors")
    return np.frombuffer(data, dtype=_VECTOR_DTYPE).reshape(-1, dim)


def vectors_bytes(count: int, dim: int) -> int:
    """How many bytes `count` vectors of length `dim` are."""
    return count * dim * _VECTOR_DTYPE.itemsize


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    """The records of a container; one that this release wrote is read without parsing its schema once more."""
    if not data.startswith(_HEADER):
        return iter(fastavro.reader(io.BytesIO(data), _CHUNK_SCHEMA))  # type: ignore[arg-type]
    return _own_records(data)


def _own_records(data: bytes) -> Iterator[dict[str, Any]]:
    """The records of each block, which is their number, its size, the records compressed, and the sync marker."""
    stream = io.BytesIO(data)
    stream.seek(len(_HEADER))
    while stream.tell() < len(data):
        count, size_bytes = _read_long(stream), _read_long(stream)
        records = zlib.decompress(stream.read(size_bytes), -zlib.MAX_WBITS)
        if stream.read(len(_SYNC_MARKER)) != _SYNC_MARKER:
            raise ValueError("a block does not end where it should")
        # An Avro array is the number of its items, the items and a zero: all records of a block are read in one call.
        array = io.BytesIO()
        fastavro.schemaless_writer(array, "long", count)
        array.write(records + b"\0")
        array.seek(0)
        yield from fastavro.schemaless_reader(array, _CHUNKS_SCHEMA, None)  # type: ignore[misc]
        if array.read():
            raise ValueError("a block holds more than its records")


def _read_long(stream: io.BytesIO) -> int:
    return int(fastavro.schemaless_reader(stream, "long", None))  # type: ignore[arg-type]


def _chunk(record: dict[str, Any]) -> Chunk:
    chunk = _BlankChunk()
    chunk.ordinal = record["ordinal"]
    chunk.start = record["start"]
    chunk.end = record["end"]
    chunk.page = record["page"]
    chunk.text = record["text"]
    chunk.text_hash = record["text_hash"]
    chunk.__class__ = Chunk
    return cast(Chunk, chunk)


def _container_of(records: Sequence[dict[str, Any]]) -> bytes:
    container = io.BytesIO()
    fastavro.writer(
        container,
        _CHUNK_SCHEMA,
        records,
        codec=CHUNKS_CODEC,
        codec_compression_level=CHUNKS_LEVEL,
        sync_interval=CHUNKS_BLOCK_BYTES,
        sync_marker=_SYNC_MARKER,
    )
    return container.getvalue()


def _record(chunk: Chunk) -> dict[str, Any]:
    return {
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "text": chunk.text,
        "text_hash": chunk.text_hash,
    }


def _unreadable(what: str, cause: Exception) -> UnreadableContents:
    return UnreadableContents(
        f"this artifact holds no {what}: {cause}",
        op=f"decode {what}",
        hint="a newer release may have written it: compare versions; otherwise ingest the document again with --force",
    )


_HEADER = _container_of([])
"""What every container of this release begins with: its schema, its codec and its sync marker."""
