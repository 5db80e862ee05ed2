"""What goes over the control socket: one JSON object per line.

A client sends one `Call` and reads events until a result or an error; then either side closes. Errors keep their class,
message and hint, so that a forwarded command fails with the words and the exit code of a local one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas import errors
from schemas.errors import RefoldError, TransientError
from streams.artifacts import ArtifactDamaged

Json = dict[str, Any]
Emit = Callable[[Json], None]
"""Takes what a command reports while it runs."""

LINE_LIMIT_BYTES = 96 * 1024 * 1024
"""The longest message: a pushed document of 64 MiB, the default of `limits.document_bytes`, in base64, and room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command for the owner, with what the caller's settings say of the corpus."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings_fingerprint: str = ""
    settings: Mapping[str, Any] | None = None


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Json:
    """The message of one line.

    Raises:
        ValueError: it is no JSON object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")  # noqa: TRY004 - one class for whatever is wrong with a line
    return message


def call_of(message: Mapping[str, Any]) -> Call:
    """The call that a client's first line is."""
    return Call(
        command=str(message.get("command", "")),
        arguments=message.get("arguments") or {},
        settings_fingerprint=str(message.get("settings_fingerprint", "")),
        settings=message.get("settings"),
    )


def error_message(error: RefoldError) -> Json:
    """An error as a message."""
    return {
        "error": {
            "class": type(error).__name__,
            "exit_code": exit_code_of(error),
            "message": str(error),
            "hint": error.hint,
            "subject": error.subject,
        }
    }


class Interrupted(TransientError):  # noqa: N818 - a state, as in the error tree
    """The wait was ended from outside; what was asked for goes on with the next work on the folder."""


class RemoteError(RefoldError):
    """The owner's answer to a call was an error."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(str(told.get("message")), subject=told.get("subject"), hint=told.get("hint"))
        self.exit_code = int(told.get("exit_code", 4))


EXIT_CODES: tuple[tuple[type[RefoldError], int], ...] = (
    (Interrupted, 130),
    (errors.UsageError, 2),
    (errors.UnreachableError, 3),
    (errors.MachineError, 4),
    (errors.FatalError, 4),
    (ArtifactDamaged, 4),  # it fails one document and stops nothing, but its caller has to learn of the damage
    (errors.RefoldError, 1),
)
"""The exit code of an error: of the first class here that it is."""


def exit_code_of(error: RefoldError) -> int:
    """What the command line exits with."""
    if isinstance(error, RemoteError):
        return error.exit_code
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
