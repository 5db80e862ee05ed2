"""A connection to a Qdrant server, and what its client raises (gRPC, HTTP or local mode) in refold's own words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

from projections.backends.folder import FolderMark, foreign
from projections.backends.server_calls import BatchRefused, one_line
from schemas.errors import MachineError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.extras import extra

with extra("qdrant"):
    from grpc import RpcError, StatusCode
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

_STATUS_OF_GRPC = {
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
}
"""Any other is an INTERNAL_SERVER_ERROR."""

_BUSY = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})


@contextmanager
def mapped_qdrant_errors(op: str, mark: FolderMark, name: str, *, opens: bool) -> Iterator[None]:
    """Raise what the driver raises about the collection `name`, marked `mark`, as an error of refold's.

    Raises:
        TransientError: the server is busy or does not answer; if it `opens` the index, UnreachableError for the latter.
        IndexForeign: there is no such collection any more.
        UsageError: the key does not allow that.
        BatchRefused: the server refuses what it was sent.
        MachineError: anything else.
    """
    try:
        yield
    except RefoldError:
        raise
    except ResourceExhaustedResponse as exc:
        raise TransientError(
            f"Qdrant: {one_line(exc)}",
            op=op,
            subject=name,
            hint="refold doctor",
            retry_after_s=float(exc.retry_after_s),
        ) from exc
    except Exception as exc:  # the local mode raises ValueError, RuntimeError and what is beneath it
        status = _status_of(exc)
        if status == HTTPStatus.NOT_FOUND:
            raise foreign(mark, name, "there is no collection") from exc
        if opens and _is_unanswered(exc):
            raise _unreachable(exc, op, name) from exc
        raise _error(status, f"Qdrant: {_said(exc)}", op, name) from exc


def _status_of(exc: Exception) -> int:
    if isinstance(exc, UnexpectedResponse):
        return exc.status_code or HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(exc, ResponseHandlingException):  # no connection, or none that lasted
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(exc, RpcError):
        return _STATUS_OF_GRPC.get(exc.code(), HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(exc, ValueError):
        return HTTPStatus.NOT_FOUND if "not found" in str(exc) else HTTPStatus.BAD_REQUEST
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _said(exc: Exception) -> str:
    if isinstance(exc, UnexpectedResponse):
        return one_line(f"{exc.status_code} {exc.reason_phrase}: {_sentence_in(exc.content)}")
    return one_line(exc.details() if isinstance(exc, RpcError) else exc)


def _sentence_in(content: bytes) -> str:
    """The sentence in the body of an answer; what is not as Qdrant writes it, as it is."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


def _is_unanswered(exc: Exception) -> bool:
    if isinstance(exc, RpcError):
        return exc.code() in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
    return isinstance(exc, ResponseHandlingException)


def _unreachable(exc: Exception, op: str, name: str) -> UnreachableError:
    said = f"Qdrant does not answer: {_said(exc)}"
    return UnreachableError(said, op=op, subject=name, hint="start it, or correct its address in the settings")


def _error(status: int, said: str, op: str, name: str) -> RefoldError:
    if status in _BUSY:
        return TransientError(said, op=op, subject=name, hint="refold doctor")
    if status in _FORBIDDEN:
        return UsageError(said, op=op, subject=name, hint="check the key and its rights on the server")
    if status in _REFUSED and op == "upsert":
        return BatchRefused(said, op=op, subject=name, hint="refold status")
    return MachineError(said, op=op, subject=name, hint="refold doctor, or else refold rebuild vector")


with extra("qdrant"):
    from qdrant_client import QdrantClient, models

IN_MEMORY = ":memory:"
"""The `url` of what goes with its connection: the driver's local mode, one process and one call at a time."""

GRPC_PORT = 6334
"""Where servers listen for gRPC, as a rule."""

MARK = "refold"
"""Where in a collection's metadata it is said what it is."""

TIMEOUT_S = 30
"""For an answer to what is written; the driver takes whole seconds."""

CHANNEL_OPTIONS: Mapping[str, int] = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1_000,  # so long may an attempt take
    "grpc.max_reconnect_backoff_ms": 1_000,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
}
"""A server that comes back is noticed within a second, where gRPC's own waits double up to two minutes; one that went
without a word is given up while a call waits for it, where the system would wait a quarter of an hour."""

REPLAY_POLL_S = 0.05
"""How often a server that replays its log is asked how far it is."""


def connect(url: str, *, api_key: str | None, grpc_port: int | None, timeout_s: float = TIMEOUT_S) -> QdrantClient:
    """The driver for the server at `url`, by HTTP only if `grpc_port` is None; it connects at its first call."""
    if url == IN_MEMORY:
        return QdrantClient(IN_MEMORY)
    return QdrantClient(
        url=url,
        api_key=api_key,
        prefer_grpc=grpc_port is not None,
        grpc_port=grpc_port or 0,
        grpc_options=dict(CHANNEL_OPTIONS),
        timeout=math.ceil(timeout_s),
        check_compatibility=False,  # it would connect, and print a warning; the mark tells what matters
    )


def described(client: QdrantClient, name: str) -> models.CollectionInfo | None:
    """What the server says of the collection `name`; None where there is no collection."""
    return client.get_collection(name) if client.collection_exists(name) else None


def mark_in(info: models.CollectionInfo) -> dict[str, Any]:
    """The mark of a collection: empty where it has none."""
    return cast("dict[str, Any]", (info.config.metadata or {}).get(MARK, {}))


def unreplayed(info: models.CollectionInfo) -> int:
    """Operations that the server has acknowledged and does not show yet; 0 where it does not tell (before 1.18).

    After a crash a server of 1.18 answers before it has replayed its log.
    """
    queue = info.update_queue
    return 0 if queue is None else queue.length
