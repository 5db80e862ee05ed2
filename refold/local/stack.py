"""The servers of one folder, started and stopped together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from refold.local import kafka, opensearch, postgres, registry
from refold.local.folder_lock import locked
from refold.local.interrupts import Interrupts
from refold.local.server import LocalServer, NotUp, is_free
from schemas.errors import MachineError, UsageError

SERVERS = {
    "kafka": kafka.SOFTWARE,
    "registry": registry.SOFTWARE,
    "opensearch": opensearch.SOFTWARE,
    "postgres": postgres.SOFTWARE,
}
"""Every server there is, by name."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a server is; `state` is running, unhealthy or stopped."""

    name: str
    state: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A server that was started just now, and whether its folder is as new."""

    server: LocalServer
    is_new: bool


class Stack:
    """The servers in `folder`, which holds their data, logs and process ids.

    One command at a time changes them: others wait, after a call of `on_wait`.
    """

    def __init__(self, folder: Path, *, on_wait: Callable[[], object] = lambda: None) -> None:
        self.folder = folder.absolute()
        self._on_wait = on_wait

    def up(self, names: Collection[str] = (), *, ports: Mapping[str, int] | None = None) -> list[ServerStatus]:
        """Start the servers `names`, all by default, and return when they answer; those that run are left alone.

        When one does not come up, or SIGTERM or Ctrl-C comes, those that were started here are stopped again; what is
        new goes, but for the folder of the one that failed, with its log.

        Raises:
            UsageError: a name is not known, or a port is not for one of `names`.
            MachineError: a port is taken, or what a server needs is not on this machine and cannot be fetched.
            NotUp: one does not come up.
            KeyboardInterrupt: a signal came.
        """
        servers = self._servers(names)
        with Interrupts() as interrupts, locked(self.folder, on_wait=self._on_wait):
            _check_ports(servers, ports or {})
            begun: dict[str, _Begun] = {}

            def begin(server: LocalServer) -> None:
                if server.name not in begun and not server.is_running:
                    begun[server.name] = _Begun(server, not server.home.exists())
                    server.start((ports or {}).get(server.name), held_off=interrupts.held_off)

            try:
                for server in servers:
                    begin(server)
                for server in servers:
                    begin(server)  # one that was killed a moment ago may have been dying when it was looked at
                    server.wait_until_healthy()
            except BaseException as exc:
                with interrupts.held_off():
                    _take_back(begun.values(), failed=exc.subject if isinstance(exc, NotUp) else None)
                raise
            return [_status(server) for server in servers]

    def down(self) -> list[str]:
        """Stop every server and delete its folder; the names of those that were running.

        What else stands in the stack's folder stays, and then the folder too.
        """
        if not self.folder.is_dir():
            return []
        servers = self._servers(())
        with locked(self.folder, on_wait=self._on_wait):
            running = [server.name for server in servers if server.is_running]
            _stop(servers)
            for server in servers:
                if server.was_started:
                    shutil.rmtree(server.home, ignore_errors=True)
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


def _check_ports(servers: Collection[LocalServer], ports: Mapping[str, int]) -> None:
    by_name = {server.name: server for server in servers}
    for name, port in ports.items():
        server = by_name.get(name)
        if server is None:
            raise UsageError(
                f"--port {name}={port}: {name} is not among the servers to start", op="dev up", subject=name
            )
        if server.is_running and server.port != port:
            raise UsageError(
                f"{name} runs already, on port {server.port}",
                op="dev up",
                subject=name,
                hint="refold dev down, then up",
            )
        others = [other for other, number in ports.items() if number == port and other != name]
        if others or not (server.is_running or is_free(port)):
            taken_by = others[0] if others else "another process"
            raise MachineError(
                f"port {port} for {name} is taken by {taken_by}",
                op="dev up",
                subject=name,
                hint=f"name another one, or leave --port {name} out: then it is a free one",
            )


def _take_back(begun: Collection[_Begun], *, failed: str | None) -> None:
    """Stop what was begun; what is new goes, but for the folder with the log of the one that failed."""
    _stop([one.server for one in begun])
    for one in begun:
        if one.is_new and one.server.name != failed:
            shutil.rmtree(one.server.home, ignore_errors=True)


def _stop(servers: Collection[LocalServer]) -> None:
    if servers:
        with ThreadPoolExecutor(len(servers)) as threads:
            list(threads.map(LocalServer.stop, servers))


def _status(server: LocalServer) -> ServerStatus:
    if not server.is_running:
        return ServerStatus(server.name, "stopped", {})
    return ServerStatus(server.name, "running" if server.is_healthy() else "unhealthy", server.variables())
