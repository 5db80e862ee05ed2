"""What Qdrant's client raises (by gRPC, by HTTP or in local mode), as errors of refold's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from projections.backends.folder import FolderMark, foreign
from projections.backends.server_calls import error_of_status, one_line
from schemas.errors import RefoldError, TransientError, UnreachableError
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
        said, access = f"Qdrant: {_said(exc)}", "the key and its rights"
        raise error_of_status(status, said, op=op, name=name, index=mark.index, access=access) from exc


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
