"""Turns a library's panic, which no ``except Exception`` catches, into an error like any other.

The drivers of both indexes are written in Rust. Where one meets a fault of its own it panics, and its binding raises
PanicException, which is a BaseException: ``except Exception`` lets it by, and a thread that it leaves ends in silence.
"""

from __future__ import annotations

from schemas.errors import MachineError, RefoldError


class Panicked(MachineError):  # noqa: N818 - a state, as in the error tree
    """A library panicked in the middle of a call."""


def is_panic(exc: BaseException) -> bool:
    """Whether `exc` is the panic of a library in Rust; each library has a class of its own for that, of this name."""
    return not isinstance(exc, Exception) and type(exc).__name__ == "PanicException"


def error_of(exc: BaseException, *, op: str, subject: str, hint: str) -> RefoldError:
    """`exc` itself if it is an error of refold's, else one with its message."""
    if isinstance(exc, RefoldError):
        return exc
    if is_panic(exc):
        return Panicked(f"{subject}: a library gave up: {exc}", op=op, subject=subject, hint=hint)
    return MachineError(f"{subject}: {exc!r}", op=op, subject=subject, hint=hint)
