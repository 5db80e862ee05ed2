"""Messages between a process and its pool processes: a JSON header and blobs, in one frame of bytes.

No pickle: a document that takes over its parser gets no further than the answer about itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_LENGTH_BYTES: Final = 4


def pack(header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One frame of `header` (JSON values) and `blobs`."""
    head = json.dumps([header, [len(blob) for blob in blobs]]).encode()
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "little"), head, *blobs])


def unpack(frame: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the blobs of a frame.

    Raises:
        ValueError: this is no frame of ours.
    """
    view = memoryview(frame)
    head_end = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    header, blob_bytes = json.loads(bytes(view[_LENGTH_BYTES:head_end]))
    blobs = []
    start = head_end
    for size_bytes in blob_bytes:
        if size_bytes < 0:
            raise ValueError("a blob has less than no bytes")
        blobs.append(bytes(view[start : start + size_bytes]))
        start += size_bytes
    if start != len(frame) or not isinstance(header, dict):
        raise ValueError("a frame ends where its header does not say")
    return header, blobs
