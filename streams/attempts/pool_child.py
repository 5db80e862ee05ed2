"""The child's main program of a pool process: takes tasks from its pipe and answers them, until the pipe ends.

`streams/attempts/pool.py` starts it as ``python -m streams.attempts.pool_child FD PARENT_PID``. Signals that stop a
pipeline are ignored here (a terminal or a supervisor sends them to the whole group): the parent decides, by closing the
pipe. If the parent is killed the kernel kills this process too (Linux); elsewhere it ends at its next turn.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from schemas.errors import RefoldError
from schemas.events import Stage
from streams.attempts.frame_pipe import FramePipe
from streams.attempts.task import pack, unpack

MARK: Final = b"\x1estage "
"""Begins the line on standard error that says which stage begins; the parent reads it once this process is dead."""

TAG_BYTES: Final = 16
"""Begin the frame of a task, and are repeated before its answer."""

MAX_TASKS: Final = 5_000
"""A fresh process after this many documents costs a ten-thousandth of the time and ends what parsers leak."""

RETIRE_BYTES: Final = 384 * 1024 * 1024
"""A process that keeps more memory than this between documents is replaced: two of them stay below 1 GiB in all."""

MAX_WRITTEN_BYTES: Final = 64 * 1024 * 1024
"""Parsers have no business with files; this keeps one from filling the disk."""

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Serve the pipe at the given file descriptor."""
    end = socket.socket(fileno=int(arguments[0]))
    end.set_inheritable(False)  # what a parser starts must not keep the pipe open
    pipe = FramePipe(end)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if not _dies_with(int(arguments[1])):
        return
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has closed the pipe: this is the end
        header, _ = unpack(pipe.receive())
        _serve(pipe, header)


def _serve(pipe: FramePipe, configuration: Mapping[str, Any]) -> None:
    # Imported here, so that the parent can import this module's constants without the libraries behind the stages.
    from streams.attempts.task import StageTask  # noqa: PLC0415
    from streams.attempts.work import StageWork  # noqa: PLC0415
    from streams.stages.embed import load_embedder  # noqa: PLC0415
    from streams.stages.fingerprints import StageSettings  # noqa: PLC0415

    # Get ready, and say so or why not.
    settings = StageSettings(**configuration["settings"])
    try:
        embedder = load_embedder(configuration["embedder"])
    except RefoldError as exc:
        pipe.send(pack({"error": str(exc), "hint": exc.hint}))
        return
    work = StageWork(settings, embedder, parsers=configuration["parsers"], begin=_announce)
    _limit_resources(settings.memory_limit_bytes)
    pipe.send(pack({"fingerprint": embedder.fingerprint}))
    # What one document leaves behind is missing for the next, so this process ends when half of its room is taken.
    most_data_bytes = (_memory_bytes()[1] + settings.memory_limit_bytes) // 2
    for count in range(1, MAX_TASKS + 1):
        frame = pipe.receive()
        answer = work.answer(StageTask.unpacked(frame[TAG_BYTES:]))
        resident_bytes, data_bytes = _memory_bytes()
        is_last = count == MAX_TASKS or resident_bytes > RETIRE_BYTES or data_bytes > most_data_bytes
        pipe.send(frame[:TAG_BYTES], answer.packed(is_last=is_last))
        if is_last:
            return


def _announce(stage: Stage) -> None:
    os.write(sys.stderr.fileno(), MARK + stage.encode() + b"\n")


def _dies_with(parent_pid: int) -> bool:
    """Whether the parent still lives, after asking the kernel to be killed when it dies (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent_pid


def _limit_resources(memory_bytes: int) -> None:
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, MAX_WRITTEN_BYTES)]
    if sys.platform == "linux":  # elsewhere RLIMIT_DATA does not count what malloc maps
        limits.append((resource.RLIMIT_DATA, memory_bytes))
    for limit, value in limits:
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


def _memory_bytes() -> tuple[int, int]:
    """What this process has in memory, and what counts against its limit (proc(5), statm)."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()
    except OSError:
        return 0, 0  # not Linux: processes are then replaced by the number of tasks alone
    return int(pages[1]) * resource.getpagesize(), int(pages[5]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
