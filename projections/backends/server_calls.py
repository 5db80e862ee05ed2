"""Calls to a server of an index: tried again while it is busy, within their time, and cut down to what it refuses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from projections.index.backend import IndexedChunk, refused_chunk
from schemas.errors import MachineError, PoisonError, RefoldError, TransientError, UsageError

ResultT = TypeVar("ResultT")

LONGEST_WAIT_S = 5.0
"""At most, however long a server asks to be left alone: its index has a heartbeat to keep up."""

SEARCH_TIMEOUT_S = 10.0
"""For a search's requests, and for opening an index: a person waits for the answer."""

PATIENCE_S = 60.0
"""After this a call is not tried again: enough for two without an answer. The writer gets the error, and goes on."""

BUSY = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""The same request may pass later."""

_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})

LOOK_EVERY_S = 1.0
"""How often a reader checks that the index is still the one that was opened: one small request."""


class BatchRefused(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The server will never take this batch; which item is to blame it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is tried again, and what is waited before each (about six seconds in all by default).

    The waits are not jittered: an index has one writer, so there is no herd to part.
    """

    waits_s: Sequence[float] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def run(
        self,
        call: Callable[[], ResultT],
        *,
        mapped_errors: Callable[[], AbstractContextManager[None]] = nullcontext,
        within_s: float = math.inf,
    ) -> ResultT:
        """What `call` returns, tried again after each TransientError; the last one is raised.

        None is tried that would begin later than `within_s` from now. Each runs within `mapped_errors`, which turns
        what a driver raises into refold's errors.
        """
        ends_s = self.monotonic() + within_s
        for wait_s in self.waits_s:
            try:
                with mapped_errors():
                    return call()
            except TransientError as exc:
                pause_s = min(exc.retry_after_s or wait_s, LONGEST_WAIT_S)
                if self.monotonic() + pause_s >= ends_s:
                    raise
            self.sleep(pause_s)
        with mapped_errors():
            return call()
        raise AssertionError("errors are mapped, not swallowed")  # pragma: no cover - mypy thinks they may be


class Looks:
    """Says when it is time to look again whether an index is still the one that was opened.

    Between two looks the server may have been restarted, or the index made again by others; a call that failed makes
    the next look due at once.
    """

    def __init__(self, *, every_s: float = LOOK_EVERY_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._monotonic = monotonic
        self._due_s = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether it is."""
        return self._monotonic() >= self._due_s

    def note(self) -> None:
        """It was looked at, and all was well."""
        self._due_s = self._monotonic() + self._every_s

    def expire(self) -> None:
        """A call failed."""
        self._due_s = -math.inf


def error_of_status(status: int | str, said: str, *, op: str, name: str, index: str, access: str) -> RefoldError:
    """What it means that a server answers with `status` and `said`; `access` is what lets a client in there."""
    if status in BUSY:
        return TransientError(said, op=op, subject=name, hint="refold doctor")
    if status in _FORBIDDEN:
        return UsageError(said, op=op, subject=name, hint=f"check {access} on the server")
    if status in _REFUSED and op == "upsert":
        return BatchRefused(said, op=op, subject=name, hint="refold status")
    return MachineError(said, op=op, subject=name, hint=f"refold doctor, or else refold rebuild {index}")


def one_line(said: object) -> str:
    """What a driver says, on one line: some put the server's whole answer into it."""
    return " ".join(str(said).split())


def write_or_halve(chunks: Sequence[IndexedChunk], write: Callable[[Sequence[IndexedChunk]], None]) -> None:
    """Have `write` take `chunks` in order; a batch it refuses is halved, until the chunk to blame stands alone.

    Raises:
        PoisonError: that chunk; those before it are written.
    """
    try:
        write(chunks)
    except BatchRefused as exc:
        if len(chunks) == 1:
            raise refused_chunk(chunks[0], f"is refused: {exc}") from exc
        middle = len(chunks) // 2
        write_or_halve(chunks[:middle], write)
        write_or_halve(chunks[middle:], write)
