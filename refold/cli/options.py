"""The options that every command has, and what they make: settings and a session."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from refold.api.session import Session
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
) -> Json:
    """The result of `command` against the data folder, whoever owns it."""
    return Session(settings).call(command, arguments or {}, on_event=on_event)


def with_settings(command: Callable[..., int]) -> Callable[..., int]:
    """`command` with the four options of every command; it is called with `settings` and `as_json` in their place."""

    @wraps(command)
    def with_options(
        *,
        data: Path | None = None,
        config: Path | None = None,
        engine: str | None = None,
        as_json: bool = False,
        **options: Any,
    ) -> int:
        return command(**options, settings=settings_of(data, config, engine), as_json=as_json)

    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.name not in {"settings", "as_json"}]
    parameters = [one.replace(kind=one.KEYWORD_ONLY) for one in (*own, *_SHARED)]
    # What typer reads: the signature, and the annotations of the function that it calls.
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


_SHARED = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("data", None, DataOption),
        ("config", None, ConfigOption),
        ("engine", None, EngineOption),
        ("as_json", False, JsonOption),
    )
]
