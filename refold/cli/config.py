"""`refold config`: what is in force, and whether it fits; it needs no data folder."""

from __future__ import annotations

from typing import Any

import typer

from refold.cli.options import ConfigOption, DataOption, EngineOption, JsonOption, settings_of
from refold.cli.output import out, print_json, print_table

app = typer.Typer(help="Settings: what is in force, and whether it fits.", no_args_is_help=True)


@app.command(epilog="Example: refold config show --json")
def show(
    data: DataOption = None,
    config: ConfigOption = None,
    engine: EngineOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> int:
    """Show every setting with its value in force."""
    values = settings_of(data, config, engine).model_dump(mode="json")
    if as_json:
        print_json(values)
    else:
        print_table(("setting", "value"), sorted(_flat(values)))
    return 0


@app.command(epilog="Example: refold config check --config refold.yaml")
def check(
    data: DataOption = None,
    config: ConfigOption = None,
    engine: EngineOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> int:
    """Check settings without doing anything: unknown keys and impossible combinations are refused."""
    settings_of(data, config, engine)
    if as_json:
        print_json({"ok": True})
    else:
        out().print("the settings are good")
    return 0


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows
