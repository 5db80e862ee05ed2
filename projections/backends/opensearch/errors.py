"""A connection to an OpenSearch server; what its client raises, or a bulk says of its items, in refold's own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from projections.backends.folder import FolderMark, foreign
from projections.backends.opensearch.index import MARK, Json
from projections.backends.server_calls import BatchRefused, one_line
from schemas.errors import DiskFull, MachineError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.extras import extra

with extra("opensearch"):
    from opensearchpy import exceptions

BUSY = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""The same request may pass later."""

_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})

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
    return _answered(exc.status_code, said, op, name)


def _answered(status: int | str, said: str, op: str, name: str) -> RefoldError:
    if status in BUSY:
        return TransientError(said, op=op, subject=name, hint="refold doctor")
    if status in _FORBIDDEN:
        return UsageError(said, op=op, subject=name, hint="check the user, the password and their rights on the server")
    if status in _REFUSED and op == "upsert":
        return BatchRefused(said, op=op, subject=name, hint="refold status")
    return MachineError(said, op=op, subject=name, hint="refold doctor, or else refold rebuild keyword")


def _unanswered(exc: exceptions.TransportError, op: str, name: str, *, opens: bool) -> RefoldError:
    said = f"OpenSearch does not answer: {one_line(exc)}"
    if opens:
        return UnreachableError(said, op=op, subject=name, hint="start it, or correct its address in the settings")
    return TransientError(said, op=op, subject=name, hint="refold doctor")


with extra("opensearch"):
    from opensearchpy import OpenSearch

TIMEOUT_S = 30.0
"""For an answer; a refresh of a large bulk takes a few seconds on a busy server."""

IF_THERE = {"ignore_unavailable": "true"}
"""Deleting is tried again after a timeout, when it may have happened."""


def whole(answer: Json, op: str, name: str) -> Json:
    """`answer`, unless some of the index could not be asked: it would pass for one that found less.

    Raises:
        TransientError: a shard failed or was given up; another copy of it may answer.
    """
    failed = answer.get("_shards", {}).get("failed", 0)
    if failed or answer.get("timed_out"):
        raise TransientError(f"OpenSearch: {failed} shards of the index failed", op=op, subject=name, hint="try again")
    return answer


def connect(url: str) -> OpenSearch:
    """The driver for the server at `url`, which may hold user and password; it connects at its first call."""
    return OpenSearch([url], timeout=TIMEOUT_S, max_retries=0, http_compress=True)


def marks(client: OpenSearch, pattern: str, *, timeout_s: float = TIMEOUT_S) -> Mapping[str, Json]:
    """The marks of the indexes whose names match `pattern`, by name: empty where an index has none."""
    options = {"ignore_unavailable": "true", "expand_wildcards": "open,closed", "request_timeout": timeout_s}
    answer = client.indices.get_mapping(index=pattern, params=options)
    return {name: index["mappings"].get("_meta", {}).get(MARK, {}) for name, index in answer.items()}
