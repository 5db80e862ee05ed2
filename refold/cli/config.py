"""`refold config`: what is in force, and whether it fits; it needs no data folder."""

from __future__ import annotations

from typing import Any

import typer

from refold.cli.options import with_settings
from refold.cli.output import Result, out, print_table
from refold.settings.settings import Settings

app = typer.Typer(help="Settings: what is in force, and whether it fits.", no_args_is_help=True)


@app.command(epilog="Example: refold config show --json")
@with_settings
def show(settings: Settings) -> Result:
    """Show every setting with its value in force."""
    values = settings.model_dump(mode="json")
    return Result(values, lambda _: print_table(("setting", "value"), sorted(_flat(values))))


@app.command(epilog="Example: refold config check --config refold.yaml")
@with_settings
def check(settings: Settings) -> Result:
    """Check settings without doing anything: unknown keys and impossible combinations are refused."""
    del settings  # they were loaded: that is the check
    return Result({"ok": True}, lambda _: out().print("the settings are good"))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows
