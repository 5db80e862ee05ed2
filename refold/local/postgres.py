"""PostgreSQL: a cluster of its own, for loopback only, trusting whoever is on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from refold.local.server import LOOPBACK, Launch, as_user, let_in
from schemas.errors import MachineError

USER = "postgres"
"""Owner of process and database: the server refuses to be root's."""


def launch(home: Path, port: int) -> Launch:
    """PostgreSQL on `port`, its cluster made if it is new."""
    programs, data = _programs(), home / "data"
    if not data.exists():
        _initialise(programs, data)
    options = f"-c listen_addresses={LOOPBACK} -c unix_socket_directories= -c fsync=off -c port={port}"
    return Launch(
        command=[str(programs / "postgres"), "-D", str(data), *options.split()],
        user=USER,
        is_healthy=lambda: _answers(programs, port),
        variables={"POSTGRES_URL": f"postgresql://{USER}@{LOOPBACK}:{port}/postgres"},
    )


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise MachineError("there is no PostgreSQL", op="dev up", hint="install it: apt install postgresql")
    return found[-1] if found else Path(str(on_path)).parent


def _initialise(programs: Path, data: Path) -> None:
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        let_in(data.parent, USER)
        shutil.chown(data, USER)
    command = [*as_user(USER), str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "-N"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603 - our own command
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise MachineError(
            f"PostgreSQL's cluster cannot be made: {done.stderr[-300:]}", op="dev up", hint=f"see {data}"
        )


def _answers(programs: Path, port: int) -> bool:
    command = [str(programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port), "-U", USER]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - our own command
