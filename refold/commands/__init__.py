"""What an owner of a data folder can do, each command a function of the engine.

A command takes JSON-able arguments and returns a JSON-able result, so that it can be forwarded (`refold/control/`). The
results are stable and documented in `ops/json-results.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from refold.control.messages import Call, Emit, Json
from schemas.errors import UsageError

if TYPE_CHECKING:
    from refold.engine.engine import Engine

Run = Callable[["Engine", Mapping[str, Any], Emit, threading.Event], Mapping[str, Any]]


class Arguments(dict[str, Any]):
    """The arguments of a command; asking for one that was not given is the caller's error, not a KeyError."""

    def __init__(self, command: str, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._command = command

    def __missing__(self, name: str) -> NoReturn:
        raise UsageError(f"{self._command} needs {name}", op=self._command, hint=f"give {name}")


@dataclass(frozen=True, slots=True)
class Command:
    """A command: where its function is, whether it may make a new data folder, and whether it plans from sources."""

    module: str
    function: str
    creates_folder: bool = False
    plans: bool = False

    @property
    def run(self) -> Run:
        """The function; its module is imported at the first use, which keeps forwarded commands quick."""
        function: Run = getattr(import_module(f"refold.commands.{self.module}"), self.function)
        return function


COMMANDS: Mapping[str, Command] = {
    "ingest": Command("ingest", "ingest", creates_folder=True, plans=True),
    "plan": Command("ingest", "plan", creates_folder=True, plans=True),
    "search": Command("search", "search"),
    "status": Command("status", "status"),
    "jobs list": Command("jobs", "list_jobs"),
    "jobs show": Command("jobs", "show_job"),
    "jobs pause": Command("jobs", "pause_job"),
    "jobs resume": Command("jobs", "resume_job"),
    "jobs cancel": Command("jobs", "cancel_job"),
    "documents list": Command("documents", "list_documents"),
    "documents show": Command("documents", "show_document"),
    "documents history": Command("documents", "document_history"),
    "documents add": Command("push", "add_document", creates_folder=True),
    "documents remove": Command("removal", "remove_documents"),
    "verify": Command("consistency", "verify_indexes"),
    "rebuild": Command("consistency", "rebuild"),
    "log tail": Command("log", "tail"),
    "log stat": Command("log", "stat"),
    "log export": Command("log", "export"),
    "log import": Command("log", "import_", creates_folder=True),
    "cache stats": Command("status", "cache_stats"),
}


def run(engine: Engine, call: Call, emit: Emit, stop: threading.Event) -> Json:
    """The result of `call` at `engine`; the call may be of another release.

    Raises:
        UsageError: this release knows no such command, or the command needs an argument that was not given.
    """
    command = COMMANDS.get(call.command)
    if command is None:
        raise UsageError(f"this owner knows no command {call.command!r}", hint="upgrade refold there or here")
    return dict(command.run(engine, Arguments(call.command, call.arguments), emit, stop))
