"""Chunk ids in bulk: 16 bytes each, packed end to end or as a sorted numpy array, so that millions can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha1

import numpy as np
from numpy.typing import NDArray

from schemas.ids import ChunkId, DocumentId

ID_BYTES = 16
"""A uuid."""

IdArray = NDArray[np.bytes_]
"""Ids of dtype S16, sorted, each once."""

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_WITH_VERSION_5 = bytes((byte & 0x0F) | 0x50 for byte in range(256))
_WITH_RFC_VARIANT = bytes((byte & 0x3F) | 0x80 for byte in range(256))


def packed_ids_of(document_id: DocumentId, version: int, chunk_count: int) -> bytes:
    """The ids of all chunks of a version, packed: those of `schemas.ids.chunk_ids_of`, at a third of its price."""
    namespace = sha1(bytes.fromhex(document_id.replace("-", "")), usedforsecurity=False)
    packed = bytearray()
    for ordinal in range(chunk_count):
        named = namespace.copy()
        named.update(b"%d:%d" % (version, ordinal))
        packed += named.digest()[:ID_BYTES]
    packed[6::ID_BYTES] = packed[6::ID_BYTES].translate(_WITH_VERSION_5)
    packed[8::ID_BYTES] = packed[8::ID_BYTES].translate(_WITH_RFC_VARIANT)
    return bytes(packed)


def is_chunk_id(one: str) -> bool:
    """Whether `one` can be a chunk's id: what others put into an index may have any."""
    return _UUID.fullmatch(one) is not None


def pack(chunk_ids: Iterable[ChunkId]) -> bytes:
    """`chunk_ids`, packed."""
    return bytes.fromhex("".join(chunk_ids).replace("-", ""))


def unpack(packed: bytes) -> list[ChunkId]:
    """The ids in `packed`, in their order."""
    digits = packed.hex()
    return [
        ChunkId(
            f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}"
            f"-{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        )
        for at in range(0, len(digits), 2 * ID_BYTES)
    ]


def id_array(packed: bytes | bytearray) -> IdArray:
    """The ids in `packed`, sorted, each once."""
    return np.unique(np.frombuffer(packed, dtype=f"S{ID_BYTES}"))


def without(ids: IdArray, others: IdArray) -> IdArray:
    """Those of `ids` that are not among `others`."""
    return np.setdiff1d(ids, others, assume_unique=True)


def within(ids: IdArray, others: IdArray) -> IdArray:
    """Those of `ids` that are among `others`; takes as long as the smaller of the two."""
    small, large = (ids, others) if ids.size <= others.size else (others, ids)
    if not small.size:
        return small
    places = np.minimum(np.searchsorted(large, small), large.size - 1)
    found: IdArray = small[large[places] == small]
    return found


def chunk_ids(ids: IdArray) -> list[ChunkId]:
    """`ids` as strings, in their order."""
    # tobytes, not items: numpy strips trailing zero bytes from an S16 item.
    return unpack(ids.tobytes())
