"""What commands share: their options, and how a result is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from refold.cli.options import with_json, with_settings
from refold.cli.output import Result
from refold.settings.settings import Settings
from tests.commands.cli_here import run_here

app = typer.Typer()


@app.command()
@with_settings
def where(*, loud: bool = False, settings: Settings) -> Result:
    """Say which data folder is meant."""
    sign = "!" if loud else "."
    return Result({"data": str(settings.data)}, lambda value: typer.echo(f"it is {value['data']}{sign}"), 3)


@app.command()
@with_json
def how(*, as_json: bool) -> Result | int:
    """Say how it is printed, in its own way where that is not as JSON."""
    return Result({"as_json": as_json}) if as_json else 5


@pytest.mark.parametrize(
    ("typed", "exit_code", "printed"),
    [
        (["where", "--data", "quay"], 3, "it is quay."),
        (["where", "--loud", "--data", "quay"], 3, "it is quay!"),
        (["where", "--data", "quay", "--json"], 3, '{"data": "quay"}'),
        (["how"], 5, ""),
        (["how", "--json"], 0, '{"as_json": true}'),
    ],
)
def test_a_result_is_printed_as_it_is_asked_for(typed: list[str], exit_code: int, printed: str) -> None:
    answer = CliRunner().invoke(app, typed, standalone_mode=False)
    assert answer.return_value == exit_code
    assert answer.output.strip() == printed


def test_jobs_without_another_word_lists_them(tmp_path: Path) -> None:
    short, full = (
        run_here([*words, "--json", "--data", str(tmp_path / "no-folder")], environment={})
        for words in (["jobs"], ["jobs", "list"])
    )
    assert short.json["error"]["message"] == f"there is no data folder at {tmp_path / 'no-folder'}"
    assert (short.stdout, short.exit_code) == (full.stdout, full.exit_code)
