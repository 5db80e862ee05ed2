"""While one terminal ingests, everything else works from another; when the first ends, the others go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.cli_here import CliHere
from tests.commands.gated_refold import Gate
from tests.commands.refold_cli import ROOT, Cli, age

DOCUMENTS = 40
PARAGRAPH = "Number {n}: the quick brown fox writes every transition down before it jumps over the lazy dog.\n\n"


ONE_AT_A_TIME = {"REFOLD_POOL__PROCESSES": "1", "REFOLD_POOL__IN_FLIGHT": "1"}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return CliHere(tmp_path / "data", ONE_AT_A_TIME)  # the other terminal is the owner's


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def gated(cli: Cli, gate: Gate) -> Cli:
    """An owner of the folder that is as far as the test lets it be."""
    return gate.cli(cli.data, ONE_AT_A_TIME)


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


def running_job(cli: Cli, gate: Gate, *, completed: int) -> str:
    """The job of an ingest that has completed so many documents, has one more in work, and waits."""
    gate.let(completed)

    def look() -> str | None:
        answer = cli("jobs", "list", "--json", exit_code=None)
        jobs = answer.json["jobs"] if answer.exit_code == 0 else []
        return next((j["job_id"] for j in jobs if j["completed"] == completed), None)

    job_id: str = eventually(look)
    eventually(lambda: started(cli) == completed + 1)
    return job_id


def started(cli: Cli) -> int:
    """How many documents were begun so far."""
    count: int = cli("log", "stat", "--json").json["topics"]["documents"]["DocumentStarted"]
    return count


def jobs_begun(cli: Cli) -> int:
    return len(cli("jobs", "list", "--json").json["jobs"])


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=120)
    assert "Traceback" not in stderr, stderr
    value: dict[str, Any] = json.loads(stdout)
    return value


def test_search_verify_and_a_second_ingest_while_one_is_running(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path
) -> None:
    first = gated.start("ingest", str(corpus(tmp_path / "a")), "--json")
    running_job(cli, gate, completed=5)
    assert cli("verify", "--json").json["consistent"]
    assert cli("search", "quick brown fox", "--json").json["hits"]
    second = cli.start("ingest", str(corpus(tmp_path / "b", 10)), "--priority", "critical", "--json")
    eventually(lambda: jobs_begun(cli) == 2)
    gate.let(20)  # too few for the first one
    answer = result(second)
    assert (answer["outcome"], answer["completed"]) == ("SUCCEEDED", 10)
    assert first.poll() is None
    gate.open()
    finished = result(first)
    assert (finished["outcome"], finished["completed"]) == ("SUCCEEDED", DOCUMENTS)
    assert cli("verify", "--deep", "--json").json["consistent"]


def test_a_job_is_paused_resumed_and_cancelled_from_another_terminal(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path
) -> None:
    ingest = gated.start("ingest", str(corpus(tmp_path / "a")), "--json")
    job_id = running_job(cli, gate, completed=3)
    assert cli("jobs", "pause", job_id, "--json").json["status"] == "paused"
    gate.let(1)
    eventually(lambda: cli("jobs", "show", job_id, "--json").json["completed"] == 4)  # what was in work already
    gate.let(1)
    cli("documents", "add", "other", "--text", "what is not of the job goes on")
    assert started(cli) == 5
    assert cli("jobs", "show", job_id, "--json").json["completed"] == 4
    assert cli("jobs", "resume", job_id[:8], "--json").json["status"] == "running"
    gate.let(2)
    eventually(lambda: cli("jobs", "show", job_id, "--json").json["completed"] == 6)
    cancelling = cli.start("jobs", "cancel", job_id, "--json")
    eventually(lambda: cli("jobs", "show", job_id, "--json").json["status"] == "cancelling")
    gate.open()  # what is in work is given up, once its stage has ended
    cancelled = result(cancelling)
    assert (cancelled["outcome"], cancelled["remaining"]) == ("CANCELLED", 0)
    answer = result(ingest)
    assert (answer["outcome"], answer["completed"] + answer["cancelled"]) == ("CANCELLED", answer["requested"])
    assert cli("verify", "--json").json["consistent"]


def test_a_forwarded_ingest_takes_the_folder_when_its_owner_ends(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path
) -> None:
    owner = gated.start("ingest", str(corpus(tmp_path / "a")), "--json")
    running_job(cli, gate, completed=1)
    forwarded = cli.start("ingest", str(corpus(tmp_path / "b")), "--priority", "batch", "--json")
    eventually(lambda: jobs_begun(cli) == 2)
    gate.open()
    assert result(owner)["completed"] == DOCUMENTS
    assert result(forwarded)["completed"] == DOCUMENTS
    assert cli("status", "--json").json["documents"]["live_documents"] == 2 * DOCUMENTS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_is_released_and_goes_on_by_itself(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path, number: int
) -> None:
    docs = corpus(tmp_path / "a")
    ingest = gated.start("ingest", str(docs), "--json")
    job_id = running_job(cli, gate, completed=3)
    ingest.send_signal(number)
    assert ingest.stderr is not None
    assert "stopping" in ingest.stderr.readline()
    gate.open()  # what is in work may finish
    interrupted = result(ingest)
    assert ingest.returncode == 130
    assert interrupted["outcome"] == "INTERRUPTED"
    cli("documents", "add", "other", "--text", "anything that opens the folder to write")
    cli("jobs", "resume", job_id, exit_code=None)
    shown = cli("jobs", "show", job_id, "--json").json
    assert (shown["outcome"], shown["completed"]) == ("SUCCEEDED", DOCUMENTS)
    stat = cli("log", "stat", "--json").json["topics"]["documents"]
    assert stat["DocumentCompleted"] == DOCUMENTS + 1
    assert stat["DocumentStarted"] - stat.get("DocumentReleased", 0) == DOCUMENTS + 1


def test_an_owner_with_other_settings_is_told_apart(cli: Cli, gated: Cli, gate: Gate, tmp_path: Path) -> None:
    owner = gated.start("ingest", str(corpus(tmp_path / "a")), "--json")
    running_job(cli, gate, completed=1)
    refused = Cli(cli.data, {"REFOLD_CHUNKING__SIZE": "500"})("search", "fox", exit_code=2)
    assert "settings" in refused.stderr
    gate.open()
    assert result(owner)["completed"] == DOCUMENTS


def test_an_ingest_under_other_rules_for_sources_is_refused_and_removes_nothing(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path
) -> None:
    docs = corpus(tmp_path / "a", 3)
    owner = gated.start("ingest", str(docs), "--json")
    running_job(cli, gate, completed=1)
    other = Cli(cli.data, {"REFOLD_SOURCES__SUFFIXES": '[".md"]'})
    for command in (["ingest"], ["ingest", "--dry-run"], ["plan"]):
        assert "sources.suffixes" in other(*command, str(docs), exit_code=2).stderr
    gate.open()
    assert result(owner)["completed"] == 3
    assert cli("status", "--json").json["documents"]["live_documents"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_forwarded_ingest_in_order_and_its_owner_goes_on(
    cli: Cli, gated: Cli, gate: Gate, tmp_path: Path, number: int
) -> None:
    owner = gated.start("ingest", str(corpus(tmp_path / "a", 5)), "--json")
    first = running_job(cli, gate, completed=1)
    forwarded = cli.start("ingest", str(corpus(tmp_path / "b", 5)), "--json")
    eventually(lambda: jobs_begun(cli) == 2)
    second = next(j["job_id"] for j in cli("jobs", "list", "--json").json["jobs"] if j["job_id"] != first)
    forwarded.send_signal(number)
    stdout, stderr = forwarded.communicate(timeout=120)
    assert (forwarded.returncode, json.loads(stdout)["outcome"]) == (130, "INTERRUPTED")
    assert "the process that owns the folder plans no more of this" in stderr
    assert f"refold jobs cancel {second}" in stderr
    assert owner.poll() is None
    gate.open()
    assert result(owner)["completed"] == 5


STUBBORN = """
import threading, time
from refold.cli.stopping import Stopping

with Stopping("1") as stopping:
    threading.Thread(target=time.sleep, args=(3600,)).start()  # what a drain may wait for
    print("ready", flush=True)
    stopping.asked.wait()
    print("asked", flush=True)
    time.sleep(3600)
"""


def test_the_second_signal_ends_at_once_whatever_is_waited_for() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    told = process.stderr.read()
    assert "stopping: what is in work is finished or given back" in told
    assert "stopped at once" in told
