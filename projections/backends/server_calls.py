"""Calls to a server of an index: tried again while it is busy, and cut down to the item it refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from projections.index_backend import IndexedChunk
from schemas.errors import PoisonError, TransientError

ResultT = TypeVar("ResultT")

LONGEST_WAIT_S = 5.0
"""However long a server asks to be left alone: its index has a heartbeat to keep up."""


class BatchRefused(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The server will never take this batch; which item is to blame it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is tried again, and what is waited before each (about six seconds in all by default).

    The waits are not jittered: an index has one writer, so there is no herd to part.
    """

    waits_s: Sequence[float] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
    sleep: Callable[[float], None] = time.sleep

    def run(self, call: Callable[[], ResultT]) -> ResultT:
        """What `call` returns, tried again after each TransientError; the last one is raised."""
        for wait_s in self.waits_s:
            try:
                return call()
            except TransientError as exc:
                asked_s = exc.retry_after_s or wait_s
            self.sleep(min(asked_s, LONGEST_WAIT_S))
        return call()


def write_or_halve(chunks: Sequence[IndexedChunk], write: Callable[[Sequence[IndexedChunk]], None]) -> None:
    """Have `write` take `chunks` in order; a batch it refuses is halved, until the chunk to blame stands alone.

    Raises:
        PoisonError: that chunk; those before it are written.
    """
    try:
        write(chunks)
    except BatchRefused as exc:
        if len(chunks) == 1:
            raise refusal(chunks[0], str(exc)) from exc
        middle = len(chunks) // 2
        write_or_halve(chunks[:middle], write)
        write_or_halve(chunks[middle:], write)


def refusal(chunk: IndexedChunk, said: str) -> PoisonError:
    """The error for a `chunk` that the server refuses, saying why."""
    return PoisonError(
        f"chunk {chunk.ordinal} of version {chunk.version} is refused: {said}",
        op="upsert",
        subject=chunk.attributes.uri,
        hint=f"refold ingest --force {chunk.attributes.uri}",
    )
