"""What can go wrong with a document, as codes: each has one class and one hint, wherever it is raised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.errors import PoisonError
from schemas.events import ErrorClass, Stage


@dataclass(frozen=True, slots=True)
class FailureKind:
    """The class of a failure, and what to do about it."""

    error_class: ErrorClass
    hint: str | None = None


_PERMANENT: Final = ErrorClass.PERMANENT
_RETRY: Final = "then: refold ingest SOURCE"
_TIMED_OUT: Final = FailureKind(ErrorClass.TIMEOUT, f"split the document or raise limits: parse_timeout_s, {_RETRY}")

FAILURES: Final = MappingProxyType(
    {
        "too_large": FailureKind(_PERMANENT, f"split the document or raise the limit it names under limits:, {_RETRY}"),
        "content_missing": FailureKind(_PERMANENT, "push the document again"),
        "content_damaged": FailureKind(_PERMANENT, "push the document again"),
        "source_failed": FailureKind(_PERMANENT, "look at the message; what reads this source could not go on"),
        "unknown_adapter": FailureKind(_PERMANENT, "ingest the source again with this release"),
        "no_live_version": FailureKind(_PERMANENT, "ingest the document first"),
        "binary_noise": FailureKind(_PERMANENT, "leave such files out with .refoldignore"),
        "unsupported_media_type": FailureKind(
            _PERMANENT, "convert it to PDF, HTML or text, or leave such files out with .refoldignore"
        ),
        "damaged_document": FailureKind(
            _PERMANENT, "open it in the program it was made with; if it opens there, save it anew and ingest it again"
        ),
        "encrypted_document": FailureKind(_PERMANENT, "save a copy without password and ingest that"),
        "archive_bomb": FailureKind(_PERMANENT, "if it is honest, unpack it, save it anew and ingest it again"),
        "parser_failed": FailureKind(_PERMANENT, "this is a bug in a parser; convert the document, or report it"),
        "stage_failed": FailureKind(_PERMANENT, "this is a bug; please report it with this message"),
        "memory_limit": FailureKind(ErrorClass.POISON, f"split the document or raise limits: memory_bytes, {_RETRY}"),
        "pool_process_died": FailureKind(
            ErrorClass.POISON, "convert the document to another format, or report it together with this message"
        ),
        "parse_timeout": _TIMED_OUT,
        "chunk_timeout": _TIMED_OUT,
        "embed_timeout": _TIMED_OUT,
    }
)
"""Every code the stages raise themselves; a source's own errors have their class name in snake case as code."""


class StageFailed(PoisonError):  # noqa: N818 - a state, as in the error tree
    """A stage has no output for this document.

    Args:
        code: A key of `FAILURES`.
        message: One sentence.
        stage: Which stage, where the one who raises it knows; the caller fills it in otherwise.
    """

    def __init__(self, code: str, message: str, *, stage: Stage | None = None) -> None:
        super().__init__(message, hint=FAILURES[code].hint)
        self.code = code
        self.stage = stage


def code_of(error: Exception) -> str:
    """The code of an error that is not ours: its class name in snake case, such as ``source_gone``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()
