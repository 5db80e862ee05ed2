"""The owner's side of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from refold.control import address
from refold.control.messages import LINE_LIMIT_BYTES, Call, Emit, Json, call_of, decode, encode, error_message
from refold.process import forked
from refold.settings.folder_access import FolderAccess
from schemas.errors import FatalError, RefoldError, UsageError
from streams.process_log import ProcessLogger

_log = ProcessLogger(__name__)

Handler = Callable[[Call, Emit, threading.Event], Json]
"""Runs a call in a thread: emits events, watches whether the caller left, returns the result."""


class ControlServer:
    """Answers calls on the socket of the data folder, by `handler`, each in a thread of its own."""

    def __init__(self, folder: Path, handler: Handler, *, access: FolderAccess = FolderAccess.USER) -> None:
        self._folder = folder
        self._access = access
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket that a dead owner left is replaced."""
        self._path = address.listening_path(self._folder, self._access)
        self._path.unlink(missing_ok=True)
        listening = _bound(self._path, self._access.socket_mode)
        forked.withhold(listening.fileno())
        self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=LINE_LIMIT_BYTES)

    async def stop(self) -> None:
        """Listen no more and end the connections: their clients take the folder and go on themselves."""
        if self._server is not None and self._path is not None:
            for listening in self._server.sockets:
                forked.forget(listening.fileno())
            self._server.close()
            address.forget(self._path)
            for call in list(self._calls):
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - a handler of asyncio runs in a task
        self._calls.add(call)
        descriptor = writer.get_extra_info("socket").fileno()
        forked.withhold(descriptor)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller left, or this owner ends; either is the other's to handle
        finally:
            self._calls.discard(call)
            forked.forget(descriptor)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
        except ValueError:
            line = b""
            writer.write(encode(error_message(UsageError("the call is too long", op="call"))))
            await writer.drain()
        if not line:
            return
        # The command runs in a thread of its own; the queue brings what it says back to this loop.
        loop = asyncio.get_running_loop()
        outgoing: asyncio.Queue[Json | None] = asyncio.Queue()
        caller_left = threading.Event()

        def emit(event: Json) -> None:
            loop.call_soon_threadsafe(outgoing.put_nowait, {"event": event})

        def answer() -> None:
            loop.call_soon_threadsafe(outgoing.put_nowait, self._result(line, emit, caller_left))
            loop.call_soon_threadsafe(outgoing.put_nowait, None)

        thread = threading.Thread(target=answer, name="control-call", daemon=True)
        thread.start()
        # A caller that hangs up stops the command.
        watch = asyncio.create_task(_when_closed(reader, caller_left))
        try:
            while (message := await outgoing.get()) is not None:
                writer.write(encode(message))
                await writer.drain()
        finally:
            caller_left.set()
            watch.cancel()

    def _result(self, line: bytes, emit: Emit, caller_left: threading.Event) -> Json:
        try:
            try:
                call = call_of(decode(line))
            except ValueError as error:
                raise UsageError(f"not a call: {error}") from error
            return {"result": dict(self._handler(call, emit, caller_left))}
        except RefoldError as error:
            return error_message(error)
        except BaseException as error:  # noqa: BLE001 - the caller gets an answer, after a panic too; the owner goes on
            _log.exception("call failed")
            return error_message(FatalError(f"internal error: {error!r}", hint="this is a bug; please report it"))


def _bound(path: Path, mode: int) -> socket.socket:
    """A socket at `path` that only those may connect to whom `mode` names, from the first moment on."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(OSError):  # Linux makes the file with the mode of the socket; elsewhere it is refused
            os.fchmod(listening.fileno(), mode)
        listening.bind(str(path))
        path.chmod(mode)
    except BaseException:
        listening.close()
        raise
    return listening


async def _when_closed(reader: asyncio.StreamReader, caller_left: threading.Event) -> None:
    """Set `caller_left` at the end of the connection: clients send nothing after their call."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
    caller_left.set()
