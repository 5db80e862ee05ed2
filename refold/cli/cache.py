"""`refold cache`."""

from __future__ import annotations

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import human_bytes, print_json, print_table
from refold.settings.settings import Settings

app = typer.Typer(help="Known stage results and the artifacts behind them.", no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Known stage results and the artifacts behind them."""


@app.command(epilog="Example: refold cache stats --json")
@with_settings
def stats(
    *,
    settings: Settings,
    as_json: bool,
) -> int:
    """Show how many results of each stage are known, and what the artifacts take."""
    answer = call(settings, "cache stats", {})
    if as_json:
        print_json(answer)
        return 0
    rows = [(stage, results) for stage, results in answer["stages"].items()]
    print_table(("stage", "results"), rows, right=("results",))
    artifacts = answer["artifacts"]
    print_table(("artifacts", "size"), [(artifacts["count"], human_bytes(artifacts["size_bytes"]))])
    return 0
