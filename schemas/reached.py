"""Servers that are away when a process starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import TransientError, UnreachableError


@contextmanager
def reached_at_start() -> Iterator[None]:
    """What would be tried again later is an end here (exit code 3): nothing has begun yet, and somebody looks on.

    For whoever opens what lies on a server; what is opened raises TransientError itself.
    """
    try:
        yield
    except TransientError as exc:
        raise UnreachableError(str(exc), op=exc.op, subject=exc.subject, hint=exc.hint) from exc
