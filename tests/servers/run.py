"""The servers that some tests need: by an address in the environment, else started here at the first test that asks.

They are started in Docker where an engine answers, else from packages as `refold dev up` does, once per run, and end
with it. The processes of a run (pytest-xdist's workers) share them: whoever needs one first starts it, under a lock of
the run's folder, and the others find it there. Where a server cannot be had the test is skipped and says why;
`REFOLD_REQUIRE=kafka,postgres` makes it fail instead. `REFOLD_TEST_SERVERS=off` starts none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from refold.local.stack import SERVERS, Stack
from schemas.errors import RefoldError
from tests.servers import docker as docker_servers

ADDRESSES: Mapping[str, str] = {
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "registry": "SCHEMA_REGISTRY_URL",
    "opensearch": "OPENSEARCH_URL",
    "postgres": "POSTGRES_URL",
    "qdrant": "QDRANT_URL",
}
"""The variable that holds each server's address, as the clients of that server know it."""

RUN = os.environ.setdefault("TEST_RUN", uuid4().hex[:8]) + os.environ.get("PYTEST_XDIST_WORKER", "")
"""In the names of what this process and its children make on servers: at its end that is deleted, and nothing else."""

QDRANT_GRPC_PORT = "QDRANT_GRPC_PORT"
"""The variable with the port by which a real Qdrant is spoken to; `off` for HTTP."""

told: dict[str, str] = {}
"""What the summary says of each server that a test has asked for."""

_folders: list[Path] = []
"""The one in which the processes of this run find the servers that were started for it; none before it is asked for."""


def address_of(server: str) -> str:
    """Where `server` is; skips the test where it cannot be had, or fails it where it is required."""
    variable = ADDRESSES[server]
    if os.environ.get(variable):
        told.setdefault(server, f"the real one that {variable} names")
        return os.environ[variable]
    reason = told.get(server) or _started(server)
    if reason is not None:
        told[server] = reason
        lacking(server, reason)
    told[server] = "a real one, started for this run"
    return os.environ[variable]


def qdrant_grpc_port() -> int | None:
    """Of the Qdrant server that the environment names; None for HTTP, which is all that the stand-in speaks."""
    port = os.environ.get(QDRANT_GRPC_PORT, "6334")
    return None if port == "off" or not os.environ.get(ADDRESSES["qdrant"]) else int(port)


def lacking(tool: str, reason: str) -> NoReturn:
    """Skip the test for want of `tool`, or fail it where that is required; `.ci/tools` installs it."""
    if tool in os.environ.get("REFOLD_REQUIRE", "").split(","):
        pytest.fail(f"{tool} is required: {reason}")
    pytest.skip(f"needs {tool}: {reason}")


def run_folder() -> Path:
    """Where the servers of this run are; it is made when it is first asked for."""
    if not _folders:
        _folders.append(open_folder())
    return _folders[0]


def share(folder: Path) -> None:
    """Use the servers of the run whose folder that is; ending them is up to whoever made it."""
    _folders[:] = [folder]


def stop() -> None:
    """End what was started for this run, and leave nothing of it."""
    for folder in _folders:
        docker_servers.stop(folder / "docker")
        Stack(folder / "stack").down()
        shutil.rmtree(folder, ignore_errors=True)
    _folders.clear()


def open_folder() -> Path:
    """A temporary folder that other users may pass: some servers refuse to be root's."""
    folder = Path(tempfile.mkdtemp(prefix="refold-servers-"))
    folder.chmod(0o711)
    return folder


def _started(server: str) -> str | None:
    """Why `server` cannot be started, or None once its address is in the environment."""
    if server not in SERVERS:
        return f"none here; set {ADDRESSES[server]}"
    if os.environ.get("REFOLD_TEST_SERVERS") == "off":
        return f"none is to be started; set {ADDRESSES[server]}"
    if docker_servers.docker_answers():
        try:
            os.environ.update(docker_servers.start(server, run_folder() / "docker"))
        except Exception as error:  # noqa: BLE001 - such as an image that cannot be had: packages can
            told[f"{server} in Docker"] = f"does not come up: {error}"
        else:
            return None
    return _started_from_packages(server)


def _started_from_packages(server: str) -> str | None:
    try:
        (status,) = Stack(run_folder() / "stack").up([server])
    except RefoldError as error:
        return f"{error} ({error.hint})" if error.hint else str(error)
    os.environ.update(status.variables)
    return None
