"""`refold config` and `refold schema`: settings and schemas; they need no data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refold.cli.options import ConfigOption, DataOption, EngineOption, JsonOption, settings_of
from refold.cli.output import EXIT_NO, out, print_json, print_table

app = typer.Typer(help="Settings: what is in force, and whether it fits.", no_args_is_help=True)
schema_app = typer.Typer(help="The Avro schemas of the events.", no_args_is_help=True)


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


@schema_app.callback()
def schema() -> None:
    """The Avro schemas of the events."""


@schema_app.command("check", epilog="Example: refold schema check --directory schemas/avro")
def schema_check(
    directory: Annotated[Path | None, typer.Option(help="The schemas to check. [default: those installed]")] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> int:
    """Refuse changes of schemas that would leave old or new readers in the cold. Exit code 1 when there are any."""
    from schemas.compatibility import check as check_schemas  # noqa: PLC0415 - the avro package is slow to import

    problems = [
        {"path": str(p.path), "record": p.record, "rule": p.rule, "message": p.message, "hint": p.hint}
        for p in (check_schemas(directory) if directory else check_schemas())
    ]
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        print_table(
            ("file", "rule", "problem", "hint"), [(p["path"], p["rule"], p["message"], p["hint"]) for p in problems]
        )
    else:
        out().print("the schemas are compatible in both directions")
    return EXIT_NO if problems else 0


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows
