"""The command line as it describes itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from refold.cli.app import app


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its name, such as ``log tail``; groups are left out."""
    yield from _below(get_command(app), "")


def command_names() -> set[str]:
    """The names of all commands."""
    return {name for name, _ in commands()}


def _below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path.strip(), command
        return
    for name, one in below.items():
        yield from _below(one, f"{path} {name}")
