"""`refold cache`."""

from __future__ import annotations

from typing import Any

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import Result, human_bytes, print_table
from refold.settings.settings import Settings

app = typer.Typer(help="Known stage results and the artifacts behind them.", no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Known stage results and the artifacts behind them."""


@app.command(epilog="Example: refold cache stats --json")
@with_settings
def stats(settings: Settings) -> Result:
    """Show how many results of each stage are known, and what the artifacts take."""
    return Result(call(settings, "cache stats"), _show)


def _show(answer: dict[str, Any]) -> None:
    rows = [(stage, results) for stage, results in answer["stages"].items()]
    print_table(("stage", "results"), rows, right=("results",))
    artifacts = answer["artifacts"]
    print_table(("artifacts", "size"), [(artifacts["count"], human_bytes(artifacts["size_bytes"]))])
