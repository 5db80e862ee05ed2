"""A server on this machine, as it is started, asked whether it is well, and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemas.errors import MachineError, UnreachableError

LOOPBACK: Final = "127.0.0.1"

UP_TIMEOUT_S: Final = 120.0
"""The slowest takes ten seconds on two cores; a busy machine several times as long."""

STOP_TIMEOUT_S: Final = 20.0
"""A server that is asked to stop and does not is killed then."""

POLL_S: Final = 0.1

LOG: Final = "server.log"

_LINES: Final = 12
_LINE_CHARS: Final = 300

HeldOff = Callable[[], contextlib.AbstractContextManager[None]]
"""Makes a block that no signal interrupts (`refold/local/interrupts.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is run.

    Attributes:
        command: The program and its arguments.
        environment: Variables beside those of this process.
        user: Whose process it is; None for that of whoever starts it.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What a server consists of.

    Attributes:
        launch: Puts everything it needs into a folder, and says how it is run on a port.
        is_healthy: Whether what listens on a port answers as its clients need it; prepares nothing.
        variables: What its clients read its address from.
        stop_signal: By which it ends in good order without waiting for its clients to leave.
    """

    launch: Callable[[Path, int], Launch]
    is_healthy: Callable[[int], bool]
    variables: Callable[[int], Mapping[str, str]]
    stop_signal: signal.Signals = signal.SIGTERM


class NotUp(UnreachableError):  # noqa: N818 - a state, as in the error tree
    """A server that was started does not answer; `last_lines` is what its log ends with."""

    last_lines: Sequence[str] = ()


class LocalServer:
    """The server `name` with its files in `home`, a folder of its own: its port, its process, what it says."""

    def __init__(self, name: str, home: Path, software: Software) -> None:
        self.name = name
        self.home = home
        self._software = software
        self._state = home / "server.json"
        self._log_begins = 0

    @property
    def port(self) -> int | None:
        """Where it listens; None if it was never started."""
        port = self._stored().get("port")
        return None if port is None else int(port)

    @property
    def was_started(self) -> bool:
        """Whether `home` is a folder that this made."""
        return self._state.is_file()

    @property
    def is_running(self) -> bool:
        """Whether its process lives: the very one that was started, not another of the same id."""
        return self._running_pid() is not None

    def start(self, port: int | None = None, *, held_off: HeldOff = contextlib.nullcontext) -> None:
        """Run it, on `port`, or else on its last one if that is free, or on any free one; one that runs is left alone.

        Nothing interrupts between the birth of its process and the note of it, within `held_off`.
        """
        if self.is_running:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        last = self.port
        port = port or (last if last is not None and is_free(last) else free_port())
        launch = self._software.launch(self.home, port)
        with (self.home / LOG).open("ab") as said, held_off():
            self._log_begins = said.tell()
            process = subprocess.Popen(  # noqa: S603 - commands of `refold/local/`
                [*as_user(launch.user), *launch.command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, **launch.environment},
                start_new_session=True,
                cwd=self.home,
            )
            self._state.write_text(json.dumps({"pid": process.pid, "born": _born(process.pid), "port": port}))

    def wait_until_healthy(self, timeout_s: float = UP_TIMEOUT_S) -> None:
        """Return once it answers.

        Raises:
            NotUp: it ended, or does not answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.is_healthy():
            if not self.is_running or time.monotonic() > deadline_s:
                how = f"does not answer after {timeout_s:.0f} s" if self.is_running else "ended by itself"
                error = NotUp(
                    f"{self.name} {how}", op="dev up", subject=self.name, hint=f"its log is {self.home / LOG}"
                )
                error.last_lines = self._last_lines()
                raise error
            time.sleep(POLL_S)

    def is_healthy(self) -> bool:
        """Whether it runs and answers."""
        port = self.port
        return port is not None and self.is_running and self._software.is_healthy(port)

    def variables(self) -> Mapping[str, str]:
        """What its clients read its address from; empty if it was never started."""
        port = self.port
        return {} if port is None else self._software.variables(port)

    def stop(self) -> None:
        """End its process and all that it started; idempotent."""
        pid = self._running_pid()
        if pid is None:
            return
        _signal_group(pid, self._software.stop_signal)
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        _signal_group(pid, signal.SIGKILL)

    def _running_pid(self) -> int | None:
        stored = self._stored()
        if "pid" not in stored:
            return None
        pid = int(stored["pid"])
        is_alive = _born(pid) == stored.get("born") is not None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # of a child that has ended nothing must stay
        return pid if is_alive else None

    def _stored(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self._state.read_text())
        except (OSError, ValueError):
            return {}
        return stored

    def _last_lines(self) -> Sequence[str]:
        try:
            said = (self.home / LOG).read_bytes()[self._log_begins :]
        except OSError:
            return ()
        lines = said.decode(errors="replace").splitlines()
        return [line[:_LINE_CHARS] for line in lines if line.strip()][-_LINES:]


def as_user(user: str | None) -> Sequence[str]:
    """What runs a command as `user`, where this process may choose: some servers refuse to be root's.

    Raises:
        MachineError: there is no such user.
    """
    if user is None or os.geteuid() != 0:
        return ()
    try:
        group = pwd.getpwnam(user).pw_gid
    except KeyError as exc:
        raise MachineError(f"there is no user {user}", op="dev up", hint="run it as a user that is not root") from exc
    return ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")


def let_in(home: Path, user: str) -> None:
    """Make `home` reachable for `user`, another one than this process's.

    Raises:
        MachineError: a folder above the stack's own keeps other users out.
    """
    own = (home, home.parent)
    for folder in (*own, *home.parent.parents):
        mode = folder.stat().st_mode
        if mode & 0o001:
            continue
        if folder not in own:
            raise MachineError(
                f"{folder} keeps user {user} out, whose process the server has to be",
                op="dev up",
                hint="name another folder with --dir, such as one below /tmp",
            )
        folder.chmod(mode | 0o011)


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        return int(listening.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether one may listen on `port` of this machine."""
    with socket.socket() as listening:
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections that are just closing do not count
        try:
            listening.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(url: str) -> bool:
    """Whether a GET of `url`, of this machine, gives 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own addresses, on loopback
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (OSError, ValueError):  # URLError is an OSError
        return False


def listens(port: int) -> bool:
    """Whether connections to `port` are accepted."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _born(pid: int) -> str | None:
    """When process `pid` began, as ps(1) says; None for one that is not there, or dead and only not yet reaped."""
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    state, _, began = said.stdout.strip().partition(" ")
    return began.strip() or None if not state.startswith("Z") else None


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
