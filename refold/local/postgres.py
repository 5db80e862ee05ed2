"""PostgreSQL: a cluster of its own, for loopback only, trusting all users of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from refold.local.server import LOOPBACK, Launch, Software, as_user, let_in
from schemas.errors import MachineError

USER = "postgres"
"""Owner of process and database: the server refuses to be root's."""


def launch(home: Path, port: int) -> Launch:
    """PostgreSQL on `port`, its cluster made if it is new."""
    programs, data = _programs(), home / "data"
    if not data.exists():
        _initialise(programs, data)
    _forget_dead_postmaster(data / "postmaster.pid")
    options = f"-c listen_addresses={LOOPBACK} -c unix_socket_directories= -c fsync=off -c port={port}"
    return Launch(command=[str(programs / "postgres"), "-D", str(data), *options.split()], user=USER)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise MachineError("there is no PostgreSQL", op="dev up", hint="install it: apt install postgresql")
    return found[-1] if found else Path(str(on_path)).parent


def _initialise(programs: Path, data: Path) -> None:
    making = data.with_name("data.new")
    shutil.rmtree(making, ignore_errors=True)  # of an initialisation that was cut short
    making.mkdir(mode=0o700)
    if os.geteuid() == 0:
        let_in(data.parent, USER)
        shutil.chown(making, USER)
    options = ["-U", USER, "-A", "trust", "-E", "UTF8", "-N"]
    command = [*as_user(USER), str(programs / "initdb"), "-D", str(making), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603 - our own command
    if done.returncode:
        raise MachineError(
            f"PostgreSQL's cluster cannot be made: {done.stderr[-300:]}", op="dev up", hint=f"see {making}"
        )
    making.rename(data)


def _forget_dead_postmaster(note: Path) -> None:
    """Delete what a killed server has left if its process is dead, or another program has its id by now.

    The server itself refuses to start while a process of its user has that id, be it one that is dead and not yet
    reaped. Whether children of the killed one still write is checked by the server, by its shared memory.
    """
    try:
        pid = int(note.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return
    said = subprocess.run(["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    state, _, program = said.stdout.strip().partition(" ")
    if state.startswith("Z") or Path(program.strip()).name not in {"postgres", "postmaster"}:
        note.unlink()


def _answers(port: int) -> bool:
    command = [str(_programs() / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port), "-U", USER]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - our own command


SOFTWARE = Software(
    launch=launch,
    is_healthy=_answers,
    variables=lambda port: {"POSTGRES_URL": f"postgresql://{USER}@{LOOPBACK}:{port}/postgres"},
    stop_signal=signal.SIGINT,
)
