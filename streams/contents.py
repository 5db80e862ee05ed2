"""The bytes of a version's artifacts: its text, its chunks and its vectors.

The same contents always give the same bytes, so that artifacts of equal contents are one. Text is Zstandard-compressed
UTF-8. Chunks are one Avro object container file. Vectors are bare float32, little-endian, one row per chunk.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import zstandard
from numpy.typing import NDArray

from schemas.errors import PoisonError

TEXT_LEVEL = 1
"""Zstandard level: on source and documentation texts 3 saves 4% more and takes three times as long."""

CHUNKS_CODEC = "deflate"
"""The compressed codec every Avro reader must know; Zstandard was no faster here and needs one more library."""

CHUNKS_LEVEL = 3
"""Deflate level: as fast as 1 here, 4% smaller; 6 saves 2% more and takes twice as long."""

CHUNKS_BLOCK_BYTES = 256 * 1024
"""Uncompressed bytes of one container block: most versions are one block, which compresses best."""

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
    except (zstandard.ZstdError, UnicodeDecodeError) as exc:
        raise _unreadable("text", exc) from exc


def encode_chunks(chunks: Sequence[Chunk]) -> bytes:
    """`chunks` as one Avro object container file."""
    container = io.BytesIO()
    fastavro.writer(
        container,
        _CHUNK_SCHEMA,
        [_record(chunk) for chunk in chunks],
        codec=CHUNKS_CODEC,
        codec_compression_level=CHUNKS_LEVEL,
        sync_interval=CHUNKS_BLOCK_BYTES,
        sync_marker=_SYNC_MARKER,
    )
    return container.getvalue()


def decode_chunks(data: bytes) -> list[Chunk]:
    """The chunks that `encode_chunks` was given, also where a later release added fields to them.

    Raises:
        UnreadableContents: `data` is not a whole container of chunks.
    """
    try:
        return [Chunk(**record) for record in fastavro.reader(io.BytesIO(data), _CHUNK_SCHEMA)]  # type: ignore[arg-type]
    except (ValueError, EOFError, LookupError, TypeError, zlib.error, fastavro.read.SchemaResolutionError) as exc:
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
