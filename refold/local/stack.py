"""The servers of one folder, started and stopped together."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from refold.local import kafka, opensearch, postgres, registry
from refold.local.server import LocalServer
from schemas.errors import UsageError

SERVERS = {
    "kafka": kafka.launch,
    "registry": registry.launch,
    "opensearch": opensearch.launch,
    "postgres": postgres.launch,
}
"""Every server there is, by name."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a server is; `state` is running, unhealthy or stopped."""

    name: str
    state: str
    variables: Mapping[str, str]


class Stack:
    """The servers in `folder`, which holds their data, logs and process ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def up(self, names: Collection[str] = (), *, ports: Mapping[str, int] | None = None) -> list[ServerStatus]:
        """Start the servers `names`, all by default, and return when they answer; those that run are left alone.

        Raises:
            UsageError: a name is not known.
            MachineError: what a server needs is not on this machine and cannot be fetched.
            UnreachableError: one does not come up.
        """
        servers = self._servers(names)
        self.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(servers)) as threads:
            starting = [threads.submit(server.start, (ports or {}).get(server.name)) for server in servers]
            for started in starting:
                started.result()
            for healthy in [threads.submit(server.wait_until_healthy) for server in servers]:
                healthy.result()
        return [_status(server) for server in servers]

    def down(self) -> list[str]:
        """Stop every server and delete its folder; the names of those that were running.

        What else stands in the stack's folder stays, and then the folder too.
        """
        servers = self._servers(())
        running = [server.name for server in servers if server.is_running]
        with ThreadPoolExecutor(len(servers)) as threads:
            list(threads.map(LocalServer.stop, servers))
        for server in servers:
            if server.was_started:
                shutil.rmtree(server.home, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds something else, or was never there
            self.folder.rmdir()
        return running

    def status(self) -> list[ServerStatus]:
        """How each server is."""
        return [_status(server) for server in self._servers(())]

    def variables(self) -> Mapping[str, str]:
        """What every client reads the addresses of the running servers from."""
        return {
            name: value
            for server in self._servers(())
            if server.is_running
            for name, value in server.variables().items()
        }

    def _servers(self, names: Collection[str]) -> list[LocalServer]:
        unknown = set(names) - set(SERVERS)
        if unknown:
            hint = f"servers: {', '.join(SERVERS)}"
            raise UsageError(f"there is no server {min(unknown)!r}", op="dev", subject=min(unknown), hint=hint)
        return [LocalServer(name, self.folder / name, SERVERS[name]) for name in names or SERVERS]


def _status(server: LocalServer) -> ServerStatus:
    if not server.is_running:
        return ServerStatus(server.name, "stopped", {})
    return ServerStatus(server.name, "running" if server.is_healthy() else "unhealthy", server.variables())
