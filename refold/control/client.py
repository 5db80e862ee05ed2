"""The caller's side of the control socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from refold.control.address import calling_path
from refold.control.messages import LINE_LIMIT_BYTES, Call, Json, RemoteError, decode, encode
from schemas.errors import TransientError, UsageError

CONNECT_TIMEOUT_S = 5.0
"""An owner that listens accepts at once; one that is busy beyond this is not answering."""


LOOK_S = 0.1
"""How often it is looked whether the caller wants to stop."""


class OwnerAway(TransientError):  # noqa: N818 - a state, as in the error tree
    """No owner answers, or it ended before it had answered: take the folder and do it yourself."""

    was_reached = False
    """Whether it had taken the call."""


def forward(folder: Path, call: Call, on_event: Callable[[Json], None], stop: threading.Event | None = None) -> Json:
    """The owner's result of `call`; its events go to `on_event` as they come.

    Once `stop` is set the owner learns that the caller wants to leave, and gets the time to answer.

    Raises:
        OwnerAway: no owner listens, or the connection ended without an answer.
        RemoteError: the owner's answer is an error.
        UsageError: the call is too long.
    """
    message = _encoded(call)
    with _connected(folder) as connection, _told_when(stop or threading.Event(), connection):
        try:
            connection.sendall(message)
            for line in connection.makefile("rb"):
                answer = decode(line)
                if "event" in answer:
                    on_event(answer["event"])
                elif "error" in answer:
                    raise RemoteError(answer["error"])
                else:
                    result: Json = answer["result"]
                    return result
        except (OSError, ValueError) as error:
            raise _ended(folder, error) from error
    raise _ended(folder)


def _encoded(call: Call) -> bytes:
    message = encode(asdict(call))
    if len(message) > LINE_LIMIT_BYTES:
        raise UsageError(
            f"this is too large to be handed to the owner of the folder: {len(message):,} bytes",
            op=call.command,
            hint="wait until its work has ended; or put it into a file of a folder, and ingest that",
        )
    return message


def _ended(folder: Path, error: Exception | None = None) -> OwnerAway:
    away = OwnerAway(f"the owner of {folder} ended" + (f": {error}" if error is not None else ""))
    away.was_reached = True
    return away


@contextlib.contextmanager
def _told_when(stop: threading.Event, connection: socket.socket) -> Iterator[None]:
    """Within the block, shut the sending side of `connection` once `stop` is set: the owner learns no more of it."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            if stop.wait(LOOK_S):
                with contextlib.suppress(OSError):  # it ended just now
                    connection.shutdown(socket.SHUT_WR)
                return

    threading.Thread(target=watch, name="call-stop", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


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
