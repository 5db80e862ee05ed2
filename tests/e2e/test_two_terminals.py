"""While one terminal ingests, everything else works from another; when the first ends, the others go on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refold_cli import Cli, age

DOCUMENTS = 400
PARAGRAPH = "Number {n}: the quick brown fox writes every transition down before it jumps over the lazy dog.\n\n"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    # One pool process and one document at a time: an ingest long enough to be watched.
    return Cli(tmp_path / "data", {"REFOLD_POOL__PROCESSES": "1", "REFOLD_POOL__IN_FLIGHT": "1"})


def corpus(folder: Path, documents: int = DOCUMENTS) -> Path:
    folder.mkdir()
    for number in range(documents):
        (folder / f"{number}.txt").write_text(PARAGRAPH.format(n=number) * 20)
    age(folder)
    return folder


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` sees once it sees something; each look is a command, so nothing spins."""
    for _ in range(200):
        if seen := look():
            return seen
    raise AssertionError("it never came")


def running_job(cli: Cli, *, completed: int = 1) -> str:
    def look() -> str | None:
        answer = cli("jobs", "list", "--json", exit_code=None)
        jobs = answer.json["jobs"] if answer.exit_code == 0 else []
        return next((j["job_id"] for j in jobs if j["status"] != "finished" and j["completed"] >= completed), None)

    job_id: str = eventually(look)
    return job_id


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=120)
    assert "Traceback" not in stderr, stderr
    value: dict[str, Any] = json.loads(stdout)
    return value


def test_search_verify_and_a_second_ingest_while_one_is_running(cli: Cli, tmp_path: Path) -> None:
    first = cli.start("ingest", str(corpus(tmp_path / "a")), "--json")
    running_job(cli, completed=5)
    assert cli("verify", "--json").json["consistent"]
    assert cli("search", "quick brown fox", "--json").json["hits"]
    second = cli("ingest", str(corpus(tmp_path / "b", 20)), "--priority", "critical", "--json").json
    assert (second["outcome"], second["completed"]) == ("SUCCEEDED", 20)
    finished = result(first)
    assert (finished["outcome"], finished["completed"]) == ("SUCCEEDED", DOCUMENTS)
    assert cli("verify", "--deep", "--json").json["consistent"]


def test_a_job_is_paused_resumed_and_cancelled_from_another_terminal(cli: Cli, tmp_path: Path) -> None:
    ingest = cli.start("ingest", str(corpus(tmp_path / "a", 2_000)), "--json")
    job_id = running_job(cli)
    assert cli("jobs", "pause", job_id, "--json").json["status"] == "paused"
    paused_at = eventually(lambda: _rest(cli, job_id))
    assert _rest(cli, job_id) == paused_at
    assert cli("jobs", "resume", job_id[:8], "--json").json["status"] == "running"
    eventually(lambda: cli("jobs", "show", job_id, "--json").json["completed"] > paused_at)
    cancelled = cli("jobs", "cancel", job_id, "--json").json
    assert (cancelled["outcome"], cancelled["remaining"]) == ("CANCELLED", 0)
    answer = result(ingest)
    assert (answer["outcome"], answer["completed"] + answer["cancelled"]) == ("CANCELLED", answer["requested"])
    assert cli("verify", "--json").json["consistent"]


def _rest(cli: Cli, job_id: str) -> int | None:
    """The completed documents of a paused job once nothing of it is in work any more."""
    looks = [cli("jobs", "show", job_id, "--json").json["completed"] for _ in range(5)]
    return looks[0] if len(set(looks)) == 1 else None


def test_a_forwarded_ingest_takes_the_folder_when_its_owner_ends(cli: Cli, tmp_path: Path) -> None:
    owner = cli.start("ingest", str(corpus(tmp_path / "a", 150)), "--json")
    running_job(cli)
    forwarded = cli.start("ingest", str(corpus(tmp_path / "b", 150)), "--priority", "batch", "--json")
    assert result(owner)["completed"] == 150
    assert result(forwarded)["completed"] == 150
    assert cli("status", "--json").json["documents"]["live_documents"] == 300


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_is_released_and_goes_on_by_itself(cli: Cli, tmp_path: Path, number: int) -> None:
    docs = corpus(tmp_path / "a", 150)
    ingest = cli.start("ingest", str(docs), "--json")
    job_id = running_job(cli)
    ingest.send_signal(number)
    interrupted = result(ingest)
    assert ingest.returncode == 130
    assert interrupted["outcome"] == "INTERRUPTED"
    cli("documents", "add", "other", "--text", "anything that opens the folder to write")
    cli("jobs", "resume", job_id, exit_code=None)
    shown = cli("jobs", "show", job_id, "--json").json
    assert (shown["outcome"], shown["completed"]) == ("SUCCEEDED", 150)
    stat = cli("log", "stat", "--json").json["topics"]["documents"]
    assert stat["DocumentCompleted"] == 151
    assert stat["DocumentStarted"] - stat.get("DocumentReleased", 0) == 151


def test_an_owner_with_other_settings_is_told_apart(cli: Cli, tmp_path: Path) -> None:
    owner = cli.start("ingest", str(corpus(tmp_path / "a", 150)), "--json")
    running_job(cli)
    refused = Cli(cli.data, {"REFOLD_CHUNKING__SIZE": "500"})("search", "fox", exit_code=2)
    assert "settings" in refused.stderr
    assert result(owner)["completed"] == 150
