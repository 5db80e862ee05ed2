"""Drivers' errors in refold's own words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from projections.backends.server_calls import one_line
from projections.fold.panics import error_of, is_panic
from schemas.errors import DataFolderDamaged, DiskFull, MachineError, RefoldError

_NO_SPACE = ("No space left on device", f"os error {errno.ENOSPC}", f"os error {errno.EDQUOT}", "quota exceeded")
"""How Rust spells ENOSPC and EDQUOT; the drivers keep only the text."""


@contextmanager
def mapped_driver_errors(op: str, index: str, directory: Path) -> Iterator[None]:
    """Raise what the driver of the `index` (``vector`` or ``keyword``) in `directory` raises as an error of refold's.

    Raises:
        DiskFull: there is no space left.
        DataFolderDamaged: the index cannot be opened.
        Panicked: the driver met a fault of its own.
        MachineError: anything else.
    """
    try:
        yield
    except RefoldError:
        raise
    except Exception as exc:  # both drivers raise bare Exception, ValueError and RuntimeError for all they meet
        raise _error(exc, op, index, str(directory)) from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise
        raise error_of(exc, op=op, subject=f"the {index} index", hint=f"refold rebuild {index}") from exc


def _error(exc: Exception, op: str, index: str, subject: str) -> MachineError:
    said = f"the {index} index: {one_line(exc)}"
    if any(text in said for text in _NO_SPACE):
        return DiskFull(said, op=op, subject=subject, hint="free some space and start again")
    if op == "open index":
        return DataFolderDamaged(said, op=op, subject=subject, hint=f"refold rebuild {index}")
    return MachineError(said, op=op, subject=subject, hint=f"refold doctor, or else refold rebuild {index}")
