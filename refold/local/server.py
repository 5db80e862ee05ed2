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

_SAID_CHARS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is run.

    Attributes:
        command: The program and its arguments.
        environment: Variables beside those of this process.
        user: Whose process it is; None for that of whoever starts it.
        is_healthy: Whether it answers as its clients need it.
        variables: What its clients read its address from.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    is_healthy: Callable[[], bool]
    variables: Mapping[str, str]


class LocalServer:
    """The server `name` with its files in `home`: what it was told, its process, what it says.

    Args:
        name: Of the server.
        home: A folder of its own.
        launch: How it is run on a port, once everything it needs is there.
    """

    def __init__(self, name: str, home: Path, launch: Callable[[Path, int], Launch]) -> None:
        self.name = name
        self.home = home
        self._launch = launch
        self._state = home / "server.json"

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

    def start(self, port: int | None = None) -> None:
        """Run it, on `port` or on a free one; one that runs is left alone."""
        if self.is_running:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        port = port or self.port or free_port()
        launch = self._launch(self.home, port)
        with (self.home / "server.log").open("ab") as said:
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
            UnreachableError: it ended, or does not answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.is_healthy():
            if not self.is_running or time.monotonic() > deadline_s:
                how = "does not answer" if self.is_running else "ended"
                hint = f"see {self.home / 'server.log'}, which ends: {self._last_words()}"
                raise UnreachableError(f"{self.name} {how}", op="dev up", subject=self.name, hint=hint)
            time.sleep(POLL_S)

    def is_healthy(self) -> bool:
        """Whether it runs and answers."""
        port = self.port
        return port is not None and self.is_running and self._launch(self.home, port).is_healthy()

    def variables(self) -> Mapping[str, str]:
        """What its clients read its address from; empty if it was never started."""
        port = self.port
        return {} if port is None else self._launch(self.home, port).variables

    def stop(self) -> None:
        """End its process and all that it started; idempotent."""
        pid = self._running_pid()
        if pid is None:
            return
        _signal_group(pid, STOP_SIGNALS.get(self.name, signal.SIGTERM))
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        _signal_group(pid, signal.SIGKILL)

    def _running_pid(self) -> int | None:
        stored = self._stored()
        if "pid" not in stored:
            return None
        pid = int(stored["pid"])
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # of a child that has ended nothing must stay
        return pid if _born(pid) == stored.get("born") is not None else None

    def _stored(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self._state.read_text())
        except (OSError, ValueError):
            return {}
        return stored

    def _last_words(self) -> str:
        try:
            return (self.home / "server.log").read_text(errors="replace")[-_SAID_CHARS:].strip()
        except OSError:
            return ""


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
    """A port of this machine that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        return int(listening.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on `port`."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _born(pid: int) -> str | None:
    """When process `pid` began, as ps(1) says; None for one that is not there."""
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    return said.stdout.strip() or None


STOP_SIGNALS = {"postgres": signal.SIGINT}
"""By which a server ends in good order without waiting for its clients to leave, where that is not SIGTERM."""


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
