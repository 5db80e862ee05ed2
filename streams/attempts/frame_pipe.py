"""A pipe for frames between a process and a pool process: whatever is sent or received ends at a deadline.

A frame goes as its size, 8 bytes little-endian, and its bytes. A deadline is a time of the monotonic clock and holds
for a whole frame, however its bytes trickle; None waits for as long as the other end lives.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Final

_SIZE_BYTES: Final = 8
_READ_BYTES: Final = 1024 * 1024
"""Received at a time, so that no memory is taken for bytes that a size only announces."""


class FramePipe:
    """One end of the pipe. Used by one thread at a time; only `shut` may come from another.

    Args:
        end: A connected stream socket; closed by `close`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, *parts: bytes, deadline_s: float | None = None) -> None:
        """Send one frame that consists of `parts`.

        Raises:
            TimeoutError: it was not taken before `deadline_s`.
            OSError: the other end is closed.
        """
        for part in (sum(map(len, parts)).to_bytes(_SIZE_BYTES, "little"), *parts):
            left = memoryview(part)
            while left:
                self._end.settimeout(_left_s(deadline_s))
                left = left[self._end.send(left) :]

    def receive(self, *, limit_bytes: int | None = None, deadline_s: float | None = None) -> bytes:
        """The next frame.

        Raises:
            TimeoutError: it was not there, whole, before `deadline_s`.
            ValueError: it has more than `limit_bytes`.
            EOFError, OSError: the other end is closed.
        """
        size_bytes = int.from_bytes(self._exactly(_SIZE_BYTES, deadline_s), "little")
        if limit_bytes is not None and size_bytes > limit_bytes:
            raise ValueError(f"a frame of {size_bytes} bytes, more than {limit_bytes}")
        return self._exactly(size_bytes, deadline_s)

    def is_quiet(self) -> bool:
        """Whether there is nothing to receive: no bytes, and no end."""
        poll = select.poll()  # not select(), which knows no descriptor beyond 1,023
        poll.register(self._end, select.POLLIN)
        return not poll.poll(0)

    def shut(self) -> None:
        """Let every thread that uses this end learn at once that it is over."""
        with suppress(OSError):  # it is over already
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket; idempotent."""
        self._end.close()

    def _exactly(self, size_bytes: int, deadline_s: float | None) -> bytes:
        pieces: list[bytes] = []
        while size_bytes:
            self._end.settimeout(_left_s(deadline_s))
            piece = self._end.recv(min(size_bytes, _READ_BYTES))
            if not piece:
                raise EOFError("the other end is closed")
            pieces.append(piece)
            size_bytes -= len(piece)
        return b"".join(pieces)


def _left_s(deadline_s: float | None) -> float | None:
    """What is left until `deadline_s`; None if nothing ends the wait."""
    if deadline_s is None:
        return None
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the deadline has passed")
    return left_s
