"""The options that commands share, and what they make: settings, a session, and a result printed as it is wanted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from refold.api.session import Session
from refold.cli.output import Result
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


def with_settings(command: Callable[..., Result | int]) -> Callable[..., int]:
    """`command` with the options --data, --config and --engine, which it gets as `settings`, and with --json."""

    @wraps(command)
    def with_loaded(
        *, data: Path | None = None, config: Path | None = None, engine: str | None = None, **options: Any
    ) -> Result | int:
        return command(**options, settings=settings_of(data, config, engine))

    added = {"data": (DataOption, None), "config": (ConfigOption, None), "engine": (EngineOption, None)}
    _sign(with_loaded, command, "settings", added)
    return with_json(with_loaded)


def with_json(command: Callable[..., Result | int]) -> Callable[..., int]:
    """`command` with the option --json, which decides how its result is printed; it gets `as_json` if it names it."""
    wants_json = "as_json" in inspect.signature(command).parameters

    @wraps(command)
    def with_printing(*, as_json: bool = False, **options: Any) -> int:
        result = command(**options, as_json=as_json) if wants_json else command(**options)
        return result if isinstance(result, int) else result.print(as_json=as_json)

    _sign(with_printing, command, "as_json", {"as_json": (JsonOption, False)})
    return with_printing


def _sign(function: Any, command: Callable[..., Any], replaced: str, added: Mapping[str, tuple[Any, object]]) -> None:
    """Give `function` the signature that typer reads: that of `command`, with `added` in place of `replaced`."""
    signature = inspect.signature(command, eval_str=True)
    own = [one.replace(kind=one.KEYWORD_ONLY) for one in signature.parameters.values() if one.name != replaced]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *options])
    function.__annotations__ = {one.name: one.annotation for one in (*own, *options)}
