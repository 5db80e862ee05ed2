"""What bad input gets: one line, a hint, an exit code, never a traceback; what was durable stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import Answer, age


@pytest.fixture
def cli(tmp_path: Path) -> CliHere:
    return CliHere(tmp_path / "data")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return notes(tmp_path / "docs")


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> CliHere:
    """A folder that is filled once, for what is refused before it changes anything."""
    folder = tmp_path_factory.mktemp("ingested")
    cli = CliHere(folder / "data")
    cli("ingest", str(notes(folder / "docs")))
    return cli


def notes(folder: Path) -> Path:
    folder.mkdir()
    for number in range(12):
        (folder / f"note-{number}.txt").write_text(f"note number {number}")
    age(folder)
    return folder


def told(answer: Answer) -> tuple[str, str]:
    """The line and the hint of a failed command."""
    line, hint = answer.stderr.strip().splitlines()
    assert line.startswith("refold: ")
    assert hint.startswith("  hint: ")
    return line, hint


def test_a_source_that_does_not_exist(cli: CliHere) -> None:
    line, _ = told(cli("ingest", "no-such-folder", exit_code=2))
    assert "no-such-folder" in line


def test_an_unknown_option_and_an_unknown_command(cli: CliHere) -> None:
    assert "--no-such" in told(cli("ingest", "x", "--no-such", exit_code=2))[0]
    assert "frobnicate" in told(cli("frobnicate", exit_code=2))[0]


def test_a_search_where_nothing_was_ever_ingested(cli: CliHere) -> None:
    _, hint = told(cli("search", "anything", exit_code=2))
    assert "refold ingest" in hint
    assert not cli.data.exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("search", "x", "--mode", "psychic"), "psychic"),
        (("search", "x", "--filter", "colour=red"), "colour"),
        (("ingest", ".", "--mode", "sideways"), "sideways"),
        (("jobs", "show", "f00"), "f00"),
        (("documents", "show", "push:nobody"), "push:nobody"),
        (("rebuild", "rome"), "rome"),
        (("log", "tail", "--topic", "weather"), "weather"),
        (("log", "tail", "--after", "here"), "here"),
    ],
)
def test_words_nobody_knows(ingested: CliHere, arguments: tuple[str, ...], word: str) -> None:
    assert word in told(ingested(*arguments, exit_code=2))[0]


def test_settings_nobody_knows(cli: CliHere, tmp_path: Path) -> None:
    config = tmp_path / "refold.yaml"
    config.write_text("chunking:\n  sizes: 7\n")
    assert "sizes" in told(cli("status", "--config", str(config), exit_code=2))[0]
    config.write_text("chunking:\n  size: 100\n  overlap: 90\n")
    assert "overlap" in told(cli("config", "check", "--config", str(config), exit_code=2))[0]
    strange = CliHere(cli.data, {"REFOLD_CHUNKS": "7"})
    assert "REFOLD_CHUNKS" in told(strange("status", exit_code=2))[0]


def test_errors_are_json_when_json_is_asked_for(cli: CliHere) -> None:
    error = json.loads(cli("ingest", "no-such-folder", "--json", exit_code=2).stdout)["error"]
    assert (error["class"], error["exit_code"]) == ("UsageError", 2)
    assert error["hint"]


def test_a_folder_of_something_else(cli: CliHere, docs: Path) -> None:
    cli.data.mkdir()
    (cli.data / "thesis.doc").write_text("precious")
    told(cli("ingest", str(docs), exit_code=4))
    assert [p.name for p in cli.data.iterdir() if p.name != "owner.lock"] == ["thesis.doc"]


def test_a_folder_of_a_newer_format(cli: CliHere, docs: Path) -> None:
    cli("ingest", str(docs))
    (cli.data / "format.json").write_text('{"format": 99}')
    assert "99" in told(cli("search", "note", exit_code=4))[0]


def test_a_data_folder_that_is_a_file(cli: CliHere, docs: Path) -> None:
    cli.data.write_text("not a folder")
    told(cli("ingest", str(docs), exit_code=4))


def test_a_damaged_log_page_is_told_and_what_is_indexed_stays_searchable(
    cli: CliHere, docs: Path, tmp_path: Path
) -> None:
    cli("ingest", str(docs))
    log = cli.data / "log.sqlite"
    data = bytearray(log.read_bytes())
    place = data.rfind(b"note-3.txt")
    data[place : place + 4] = b"\xff\xff\xff\xff"
    log.write_bytes(data)
    told(cli("log", "export", str(tmp_path / "export"), exit_code=4))
    assert cli("search", "note", "--json").json["hits"]


def test_most_of_a_source_vanishing_removes_nothing_without_a_yes(cli: CliHere, docs: Path) -> None:
    cli("ingest", str(docs))
    for path in sorted(docs.iterdir())[:8]:
        path.unlink()
    refused = cli("ingest", str(docs), exit_code=2)
    assert "--allow-removals" in refused.stderr
    assert cli("status", "--json").json["documents"]["live_documents"] == 12
    assert cli("ingest", str(docs), "--allow-removals", "--json").json["removed"] == 8
