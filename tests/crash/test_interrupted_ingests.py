"""What becomes of an interrupted ingest: the next of the same goes on with it, and the figures are the log's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from refold.settings.settings import Settings
from schemas.events import DocumentCompleted, DocumentQueued, PipelineEvent
from schemas.positions import Position, TopicPartition
from streams.logs.sqlite.log import SqliteLog
from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import Cli, age, kill_group
from tests.crash.kill_moments import Watch

DOCUMENTS = 60
COLD_REFOLD = Path(__file__).parent / "cold_refold.py"
RUN_AGAIN = Path(__file__).parent / "run_again.py"
MAX_CRASHES = Settings().retries.max_crashes
TOPICS = [TopicPartition("documents", 0), TopicPartition("jobs", 0)]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(DOCUMENTS):
        (folder / f"{number:03}.txt").write_text(f"Number {number} is written down before it is done.\n" * 30)
    age(folder)
    return folder


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    # One document at a time: an ingest long enough to be interrupted.
    return CliHere(tmp_path / "data", {"REFOLD_POOL__PROCESSES": "1", "REFOLD_POOL__IN_FLIGHT": "1"})


def logged(cli: Cli) -> list[PipelineEvent]:
    log = SqliteLog(cli.data / "log.sqlite", read_only=True)
    try:
        return [recorded.event for batch in log.read(TOPICS, Position()) for recorded in batch.recorded]
    finally:
        log.close()


def completed(cli: Cli) -> int:
    return sum(isinstance(event, DocumentCompleted) for event in logged(cli))


def queued(cli: Cli) -> Counter[str]:
    return Counter(event.uri.rpartition("/")[2] for event in logged(cli) if isinstance(event, DocumentQueued))


def begin(cli: Cli, *arguments: str, completed_documents: int) -> subprocess.Popen[str]:
    """An ingest that has completed at least so many documents, and has not ended."""
    return until(cli, cli.start("ingest", *arguments, "--json"), completed_documents)


def until(cli: Cli, process: subprocess.Popen[str], completed_documents: int) -> subprocess.Popen[str]:
    watch = Watch(cli.data, process, completed=0)
    try:
        assert watch.until(lambda watch: watch.completed >= completed_documents, delay_s=0), process.communicate()
    finally:
        watch.close()
    return process


def killed(cli: Cli, *arguments: str, completed_documents: int) -> None:
    kill_group(begin(cli, *arguments, completed_documents=completed_documents))


def test_an_ingest_goes_on_with_the_interrupted_one_says_so_and_asks_for_nothing_twice(cli: Cli, docs: Path) -> None:
    killed(cli, str(docs), completed_documents=5)
    killed(cli, str(docs), completed_documents=10)
    told = cli("ingest", str(docs))
    assert "going on with the unfinished job" in told.stderr
    assert set(queued(cli).values()) == {1}
    assert completed(cli) == DOCUMENTS
    jobs = cli("jobs", "list", "--json").json["jobs"]
    assert {job["status"] for job in jobs} == {"finished"}
    assert [job["requested"] for job in reversed(jobs)] == [DOCUMENTS, 0]


def test_the_result_is_of_the_interrupted_job_and_of_what_has_changed_since(cli: Cli, docs: Path) -> None:
    killed(cli, str(docs), completed_documents=3)
    first = min(docs.iterdir())
    first.write_text("It was changed after it was completed.\n")
    last = max(docs.iterdir())
    age(docs)
    told = cli("ingest", str(docs), "--json").json
    assert told["outcome"] == "SUCCEEDED"
    assert len(told["resumed"]) == 1
    assert told["job_id"] not in told["resumed"]
    assert told["open_of_others"] == 0
    again = queued(cli)
    assert (again[first.name], completed(cli)) == (2, told["completed"])
    last.unlink()
    assert cli("ingest", str(docs), "--json").json["removed"] == 1
    hits = cli("search", "changed after", "--mode", "keyword", "--json").json["hits"]
    assert [hit["uri"].rpartition("/")[2] for hit in hits] == [first.name]


def test_an_ingest_by_other_rules_is_another_job_and_says_what_it_leaves_open(cli: Cli, docs: Path) -> None:
    killed(cli, str(docs), "--force", completed_documents=1)
    small = docs.parent / "small"
    small.mkdir()
    (small / "s.txt").write_text("Small.\n")
    told = cli("ingest", str(small), "--priority", "critical", "--json").json
    assert (told["resumed"], told["completed"]) == ([], 1)
    assert told["open_of_others"] == sum(queued(cli).values()) - completed(cli)
    assert cli("ingest", str(docs), "--json").json["resumed"] == []


def test_a_paused_job_is_nobody_elses_to_go_on_with(cli: Cli, docs: Path) -> None:
    killed(cli, str(docs), completed_documents=3)
    job_id = cli("jobs", "list", "--json").json["jobs"][0]["job_id"]
    cli("jobs", "pause", job_id)
    told = cli("ingest", str(docs), "--json").json
    assert (told["resumed"], told["outcome"]) == ([], "SUCCEEDED")
    assert told["open_of_others"] > 0
    assert f"{told['open_of_others']} requests of other jobs are open" in cli("ingest", str(docs)).stderr


def test_no_document_is_blamed_for_kills_while_the_pool_was_starting(cli: Cli, docs: Path, tmp_path: Path) -> None:
    killed(cli, str(docs), completed_documents=1)
    waiting = tmp_path / "waiting"
    os.mkfifo(waiting)
    cold = Cli(cli.data, {**cli.environment, "COLD_POOL": str(waiting)}, program=(str(COLD_REFOLD),))
    for _ in range(MAX_CRASHES):
        process = cold.start("ingest", str(docs))
        assert waiting.read_text() == "it waits\n"
        kill_group(process)
    told = cli("ingest", str(docs), "--json").json
    assert (told["completed"], told["failed"]) == (DOCUMENTS, 0)


def test_a_program_that_runs_the_same_again_goes_on_and_its_last_result_is_of_all(cli: Cli, docs: Path) -> None:
    for number in range(DOCUMENTS, 2 * DOCUMENTS):
        (docs / f"{number:03}.txt").write_text(f"Number {number} is written down before it is done.\n" * 30)
    (docs / "000.pdf").write_bytes(b"%PDF-1.7\nbroken")
    age(docs)
    program = Cli(cli.data, cli.environment, program=(str(RUN_AGAIN),))
    for completed_documents in (10, 20, 30):
        kill_group(until(cli, program.start(str(docs)), completed_documents))
    changed = docs / "000.txt"
    changed.write_text("It was changed after it was completed.\n")
    told = program(str(docs)).json
    assert queued(cli) == Counter(path.name for path in docs.iterdir()) + Counter([changed.name])
    assert (told["outcome"], told["errors"]) == ("PARTIAL", ["000.pdf"])
    assert Counter(told["documents"]) == queued(cli) - Counter(["000.pdf"])
    assert (told["completed"], told["failed"]) == (completed(cli), 1)
    assert (len(told["resumed"]), told["job_id"] in told["resumed"]) == (1, False)
    hits = cli("search", "changed after", "--mode", "keyword", "--json").json["hits"]
    assert [hit["uri"].rpartition("/")[2] for hit in hits] == [changed.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_tells_what_the_log_says(cli: Cli, docs: Path, number: int) -> None:
    fast = Cli(cli.data, {"REFOLD_POOL__IN_FLIGHT": "40"})  # many finish while it is drained
    process = begin(fast, str(docs), completed_documents=5)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert "Traceback" not in stderr, stderr
    told = json.loads(stdout)
    assert told["completed"] == completed(cli)
    assert (told["outcome"] == "INTERRUPTED") == (told["not_started"] > 0)
