"""A log that has lost acknowledged events: every command tells, and one heals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands.refold_cli import Cli, age

COMMANDS = (
    ("status",),
    ("search", "salt"),
    ("log", "stat"),
    ("log", "tail"),
    ("documents", "list"),
    ("jobs", "list"),
    ("verify",),
    ("rebuild", "vector"),
    ("cache", "stats"),
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (docs := tmp_path / "docs").mkdir()
    write(docs, "bread", "The first document is about bread.")
    return docs


@pytest.fixture
def cli(tmp_path: Path, docs: Path) -> Cli:
    """A data folder whose log is one of before the last ingest."""
    cli = Cli(tmp_path / "data")
    cli("ingest", str(docs))
    shutil.copy2(cli.data / "log.sqlite", tmp_path / "older")
    write(docs, "salt", "The second document is about salt.")
    cli("ingest", str(docs))
    shutil.copy2(cli.data / "log.sqlite", tmp_path / "newer")
    shutil.copy2(tmp_path / "older", cli.data / "log.sqlite")
    return cli


def write(docs: Path, name: str, text: str) -> None:
    """A document in a folder of its own, old enough that a scan trusts its time."""
    (docs / name).mkdir()
    (docs / name / f"{name}.txt").write_text(text)
    age(docs / name)


def found(cli: Cli, word: str) -> list[str]:
    answer = cli("search", word, "--mode", "keyword", "--json", exit_code=None)
    return [Path(hit["uri"]).stem for hit in answer.json["hits"]]


def test_every_command_tells_of_lost_events_and_what_to_do(cli: Cli, docs: Path) -> None:
    for command in (*COMMANDS, ("ingest", str(docs))):
        told = cli(*command, "--json", exit_code=4).json["error"]
        assert "has lost its last events" in told["message"]
        assert "of documents" in told["message"]
        assert "backup" in told["hint"]
        assert "refold rebuild all" in told["hint"]
    (finding,) = [one for one in cli("doctor", "--json", exit_code=1).json["checks"] if not one["is_good"]]
    assert "has lost its last events" in finding["found"]
    assert "refold rebuild all" in finding["hint"]


def test_one_command_makes_everything_agree_with_the_log_that_is_there(cli: Cli, docs: Path) -> None:
    rebuilt = cli("rebuild", "all", "--json").json
    assert rebuilt["lost_events"]["documents"] == 3
    assert found(cli, "bread") == ["bread"]
    assert found(cli, "salt") == []
    assert cli("verify", "--deep", "--json").json["consistent"]
    said = [event["event"] for event in cli("log", "tail", "--topic", "operations", "-n", "100", "--json").lines]
    assert any("3 of documents" in str(event.get("action")) for event in said)
    assert cli("ingest", str(docs), "--json").json["outcome"] == "SUCCEEDED"
    assert found(cli, "salt") == ["salt"]
    assert cli("verify", "--deep", "--json").json["consistent"]
    assert "lost_events" not in cli("rebuild", "all", "--json").json


def test_people_are_told_what_was_accepted(cli: Cli) -> None:
    told = cli("rebuild", "all").stderr
    assert "3 of documents" in told
    assert "goes on without them" in told


def test_with_the_log_put_back_nothing_has_happened(cli: Cli, tmp_path: Path) -> None:
    cli("status", exit_code=4)
    shutil.copy2(tmp_path / "newer", cli.data / "log.sqlite")
    assert found(cli, "salt") == ["salt"]
    assert cli("verify", "--deep", "--json").json["consistent"]


def test_a_folder_without_a_kept_end_tells_by_its_views_and_heals_by_the_same_command(cli: Cli, docs: Path) -> None:
    (cli.data / "log.end").unlink()
    hint = cli("ingest", str(docs), "--json", exit_code=4).json["error"]["hint"]
    assert "backup" in hint
    assert "refold rebuild all" in hint
    cli("rebuild", "all")
    assert cli("ingest", str(docs), "--json").json["outcome"] == "SUCCEEDED"
    assert found(cli, "salt") == ["salt"]
    assert cli("verify", "--deep", "--json").json["consistent"]
