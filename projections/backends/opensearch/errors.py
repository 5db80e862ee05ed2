"""What OpenSearch's client raises, or a bulk says of its items, as errors of refold's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from projections.backends.folder import FolderMark, foreign
from projections.backends.server_calls import error_of_status, one_line
from schemas.errors import DiskFull, MachineError, RefoldError, TransientError, UnreachableError
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import exceptions

_DISK_FULL = "flood-stage"
"""What a server says that has stopped writing because its disk is nearly full."""


@contextmanager
def mapped_opensearch_errors(op: str, mark: FolderMark, name: str, *, opens: bool) -> Iterator[None]:
    """Raise what the driver raises about the index `name`, marked `mark`, as an error of refold's.

    Raises:
        TransientError: the server is busy or does not answer; if it `opens` the index, UnreachableError for the latter.
        IndexForeign: there is no such index any more.
        DiskFull: the server's disk is.
        UsageError: the server's user may not do that.
        BatchRefused: the server refuses what it was sent.
        MachineError: anything else.
    """
    try:
        yield
    except RefoldError:
        raise
    except exceptions.TransportError as exc:
        raise _error(exc, op, mark, name, opens=opens) from exc
    except exceptions.OpenSearchException as exc:
        raise MachineError(
            f"the {mark.index} index: {one_line(exc)}", op=op, subject=name, hint="refold doctor"
        ) from exc


def item_refusal(item: Mapping[str, Any]) -> str | None:
    """Why the server refuses an item of a bulk, for good; None if it does not."""
    error = item.get("error")
    return None if error is None else one_line(f"{error.get('type')}: {error.get('reason')}")


def is_disk_full(said: str) -> bool:
    """Whether the server has stopped writing for lack of space."""
    return _DISK_FULL in said


def disk_full(op: str, name: str, said: str) -> DiskFull:
    """The error for that."""
    return DiskFull(f"OpenSearch: {said}", op=op, subject=name, hint="free some space on the server and go on")


def _error(exc: exceptions.TransportError, op: str, mark: FolderMark, name: str, *, opens: bool) -> RefoldError:
    said = f"OpenSearch: {one_line(exc)}"
    if isinstance(exc, exceptions.ConnectionError):
        return _unanswered(exc, op, name, opens=opens)
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return foreign(mark, name, "there is no index")
    if is_disk_full(said):
        return disk_full(op, name, said)
    access = "the user, the password and their rights"
    return error_of_status(exc.status_code, said, op=op, name=name, index=mark.index, access=access)


def _unanswered(exc: exceptions.TransportError, op: str, name: str, *, opens: bool) -> RefoldError:
    said = f"OpenSearch does not answer: {one_line(exc)}"
    if opens:
        return UnreachableError(said, op=op, subject=name, hint="start it, or correct its address in the settings")
    return TransientError(said, op=op, subject=name, hint="refold doctor")
