"""The options that every command has, and what they make: settings and a session."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from refold.api.session import OnPlace, Session, not_told
from refold.control.messages import Json
from refold.settings.settings import Settings, load_settings

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The data folder, one corpus. [default: ./refold-data]", metavar="DIR"),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A YAML file with settings.", metavar="FILE")]
EngineOption = Annotated[str | None, typer.Option("--engine", help="The engine: embedded or cluster.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def settings_of(data: Path | None, config: Path | None, engine: str | None = None, **more: Any) -> Settings:
    """The settings of a command: what was typed wins over environment, file and defaults."""
    typed = {"data": data, "engine": engine, **more}
    return load_settings({key: value for key, value in typed.items() if value is not None}, config=config)


def call(
    settings: Settings,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    on_event: Callable[[Json], None] = lambda _: None,
    on_place: OnPlace = not_told,
    stop: threading.Event | None = None,
) -> Json:
    """The result of `command` against the data folder, whoever owns it."""
    return Session(settings).call(command, arguments or {}, on_event=on_event, on_place=on_place, stop=stop)
