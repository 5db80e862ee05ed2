"""The caller's side of the control socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from refold.control.address import calling_path
from refold.control.messages import Call, Json, RemoteError, decode, encode
from schemas.errors import TransientError

CONNECT_TIMEOUT_S = 5.0
"""An owner that listens accepts at once; one that is busy beyond this is not answering."""


class OwnerAway(TransientError):  # noqa: N818 - a state, as in the error tree
    """No owner answers, or it ended before it had answered: take the folder and do it yourself."""


def forward(folder: Path, call: Call, on_event: Callable[[Json], None]) -> Json:
    """The owner's result of `call`; its events go to `on_event` as they come.

    Raises:
        OwnerAway: nobody listens, or the connection ended without an answer.
        RemoteError: the owner's answer is an error.
    """
    with _connected(folder) as connection:
        try:
            connection.sendall(
                encode(
                    {
                        "command": call.command,
                        "arguments": dict(call.arguments),
                        "settings_fingerprint": call.settings_fingerprint,
                    }
                )
            )
            for line in connection.makefile("rb"):
                message = decode(line)
                if "event" in message:
                    on_event(message["event"])
                elif "error" in message:
                    raise RemoteError(message["error"])
                else:
                    result: Json = message["result"]
                    return result
        except (OSError, ValueError) as error:
            raise OwnerAway(f"the owner of {folder} ended: {error}") from error
    raise OwnerAway(f"the owner of {folder} ended")


def _connected(folder: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(str(calling_path(folder)))
    except OSError as error:
        connection.close()
        raise OwnerAway(f"no owner of {folder} listens: {error}") from error
    connection.settimeout(None)
    return connection
