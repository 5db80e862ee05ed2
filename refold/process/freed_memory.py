"""Memory that was freed goes back to the system, where the C library would keep it for later.

glibc gives each thread an arena of its own, up to eight per core, and keeps what is freed in the middle of one. With
thirty threads, most of them of the index libraries, that was half of all anonymous memory after 20,000 documents
(380 MiB, of which 160 went back when asked for), and it grew with every merge of an index.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

ARENAS: Final = 2
"""Arenas of the process, as in the pool's processes: threads wait for each other now and then, and keep less apart."""

TRIM_EVERY_S: Final = 2.0
"""A trim takes some milliseconds, during which threads that allocate wait."""

MAPPED_FROM_BYTES: Final = 256 * 1024
"""Blocks from this size on are mapped one by one and go back when they are freed; glibc raises the bound by itself, up
to 32 MiB, whenever a larger block is freed."""

_M_ARENA_MAX: Final = -8  # mallopt(3)
_M_MMAP_THRESHOLD: Final = -3  # as above


def limit_arenas() -> None:
    """Let threads share arenas from now on; nothing happens where the C library is not glibc."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


class FreedMemory:
    """Gives freed memory back every TRIM_EVERY_S; `step` is called now and then by one thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._trim = _of_glibc("malloc_trim")
        self._trimmed_at_s = monotonic()

    def step(self) -> None:
        """Give back what is due."""
        if self._trim is not None and self._monotonic() - self._trimmed_at_s >= TRIM_EVERY_S:
            self._trim(0)
            self._trimmed_at_s = self._monotonic()


def _of_glibc(name: str) -> Callable[..., int] | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    function: Callable[..., int] | None = getattr(library, name, None)
    return function
