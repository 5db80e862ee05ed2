"""What obstore raises, in refold's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import DiskFull, MachineError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.extras import extra

with extra("s3"):
    from obstore import exceptions

_FULL = ("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507 Insufficient Storage")
"""How storages say that they take nothing more; the driver keeps only the text."""

_NO_BUCKET = "NoSuchBucket"

_DETAILS = "\n\nDebug source"
"""What follows is for the driver's own engineers."""

_HINT = "check the bucket, the credentials and their rights"


@contextmanager
def mapped_object_errors(op: str, subject: str) -> Iterator[None]:
    """Raise what the driver raises about the storage `subject` as an error of refold's.

    Raises:
        UsageError: there is no such bucket, or the credentials are not good for it.
        DiskFull: a quota is reached.
        UnreachableError: opening, the storage did not answer for as long as the driver tries.
        TransientError: the same for any other `op`.
        MachineError: anything else.
    """
    try:
        yield
    except RefoldError:
        raise
    except FileNotFoundError as exc:  # of an object it is caught where the object is asked for
        raise _without_bucket(op, subject) from exc
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as exc:
        raise UsageError(f"the storage forbids it: {_said(exc)}", op=op, subject=subject, hint=_HINT) from exc
    except exceptions.GenericError as exc:
        raise _error(_said(exc), op, subject) from exc
    except (exceptions.BaseError, ValueError) as exc:
        raise MachineError(f"the storage: {_said(exc)}", op=op, subject=subject, hint="refold doctor") from exc


def is_bucket_missing(exc: Exception) -> bool:
    """Whether it is not an object that is missing but the whole bucket."""
    return _NO_BUCKET in str(exc)


def _said(exc: Exception) -> str:
    return str(exc).partition(_DETAILS)[0].strip()


def _without_bucket(op: str, subject: str) -> UsageError:
    return UsageError("there is no such bucket", op=op, subject=subject, hint=_HINT)


def _error(said: str, op: str, subject: str) -> RefoldError:
    if _NO_BUCKET in said:
        return _without_bucket(op, subject)
    if any(text in said for text in _FULL):
        return DiskFull(said, op=op, subject=subject, hint="free some space in the bucket and go on")
    if op == "open artifacts":
        hint = "start it, or correct its address in the settings"
        return UnreachableError(f"the storage does not answer: {said}", op=op, subject=subject, hint=hint)
    return TransientError(f"the storage does not answer: {said}", op=op, subject=subject, hint="refold doctor")
