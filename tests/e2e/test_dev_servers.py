"""`refold dev`: servers come up from packages, say where they are, and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from refold.local.folder_lock import locked
from refold.local.postgres import USER
from refold.local.server import as_user
from refold.local.stack import SERVERS, Stack
from tests.servers.run import address_of, open_folder
from tests.worlds.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 240.0


def begin(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "refold", "dev", *arguments, "--dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def dev(*arguments: str, folder: Path, exit_code: int = 0) -> dict[str, Any]:
    process = begin(*arguments, "--json", folder=folder)
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == exit_code, stdout + stderr
    answer: dict[str, Any] = json.loads(stdout)
    return answer


def processes_below(folder: Path) -> list[str]:
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in argument for argument in process.info["cmdline"] or ())
    ]


@pytest.fixture
def home() -> Iterator[Path]:
    folder = open_folder()
    yield folder
    Stack(folder / "stack").down()  # of a test that failed
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stack_comes_up_says_where_it_is_and_leaves_nothing_behind(home: Path) -> None:
    for server in SERVERS:
        address_of(server)  # where one cannot be had for the other tests it cannot be had here
    folder = home / "stack"
    started = dev("up", folder=folder)["servers"]
    assert {one["server"]: one["state"] for one in started} == dict.fromkeys(SERVERS, "running")
    assert dev("up", folder=folder)["servers"] == started
    assert dev("status", folder=folder)["servers"] == started
    variables = dev("env", folder=folder)["variables"]
    assert variables == {name: value for one in started for name, value in one["variables"].items()}
    assert processes_below(folder)
    assert sorted(dev("down", folder=folder)["stopped"]) == sorted(SERVERS)
    assert processes_below(folder) == []
    assert not folder.exists()
    assert dev("env", folder=folder, exit_code=1)["variables"] == {}


def test_what_is_not_a_servers_stays(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    for precious in ("notes.txt", "kafka/notes.txt"):
        (tmp_path / precious).write_text("precious")
    assert dev("down", folder=tmp_path)["stopped"] == []
    assert {path.name for path in tmp_path.rglob("*")} == {"kafka", "notes.txt"}


def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    (tmp_path / "kafka").mkdir()
    state = {"pid": stranger.pid, "born": "Thu Jan  1 00:00:00 1970", "port": 1}
    (tmp_path / "kafka" / "server.json").write_text(json.dumps(state))
    assert dev("down", folder=tmp_path)["stopped"] == []
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_server_nobody_knows_is_refused(tmp_path: Path) -> None:
    answer = dev("up", "mongodb", folder=tmp_path / "stack", exit_code=2)
    assert "mongodb" in answer["error"]["message"]
    assert "kafka" in answer["error"]["hint"]


@pytest.mark.parametrize("question", ["status", "env"])
def test_a_question_prepares_nothing(home: Path, monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    monkeypatch.setenv("REFOLD_DEV_CACHE", str(home / "cache"))
    dev(question, folder=home / "stack", exit_code=1)
    assert list(home.iterdir()) == []


def test_two_at_once_come_to_the_same_servers(home: Path) -> None:
    address_of("postgres")
    with locked(home / "stack"):  # as a third one would
        both = [begin("up", "postgres", "--json", folder=home / "stack") for _ in range(2)]
        for process in both:
            assert process.stderr is not None
            assert "waiting for another refold dev" in process.stderr.readline()
    answers = [process.communicate(timeout=TIMEOUT_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    dev("down", folder=home / "stack")


def test_a_port_that_is_taken_costs_one_line_and_starts_nothing(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = begin("up", "kafka", "postgres", "--port", f"postgres={port}", folder=home / "stack")
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 4
    first, hint = stderr.splitlines()
    assert first == f"refold: port {port} for postgres is taken by another process"
    assert "--port" in hint
    assert list(home.iterdir()) == []


def test_a_server_that_does_not_come_up_says_why(home: Path) -> None:
    address_of("postgres")
    data = home / "stack" / "postgres" / "data"
    data.mkdir(parents=True, mode=0o700)
    (data / "notes.txt").write_text("no database")
    if os.geteuid() == 0:
        for folder in (data, home / "stack", home / "stack" / "postgres"):
            shutil.chown(folder, USER)
    process = begin("up", "postgres", folder=home / "stack")
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3
    assert "postgres: " in stderr.splitlines()[0]
    assert "No such file or directory" in stderr  # in the server's own words
    assert "refold: postgres ended by itself" in stderr
    assert processes_below(home) == []
    assert (data / "notes.txt").exists()


@pytest.mark.slow
def test_a_killed_postgres_starts_again_whoever_has_its_process_id_by_now(home: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="needs pip install 'refold[postgres]'")
    address_of("postgres")
    folder = home / "stack"
    (started,) = dev("up", "postgres", folder=folder)["servers"]
    with psycopg.connect(started["variables"]["POSTGRES_URL"]) as connection:
        connection.execute("CREATE TABLE herons AS SELECT 7 AS number")
    note = folder / "postgres" / "data" / "postmaster.pid"
    for has_stranger in (False, True):
        os.kill(json.loads((folder / "postgres" / "server.json").read_text())["pid"], signal.SIGKILL)
        assert note.exists()
        stranger = subprocess.Popen([*as_user(USER), "sleep", "600"])
        if has_stranger:
            wait_until(lambda pid=stranger.pid: psutil.Process(pid).name() == "sleep", timeout_s=TIMEOUT_S)
            note.write_text("\n".join([str(stranger.pid), *note.read_text().splitlines()[1:]]) + "\n")
        assert dev("up", "postgres", folder=folder)["servers"] == [started]
        stranger.kill()
        stranger.wait()
    with psycopg.connect(started["variables"]["POSTGRES_URL"]) as connection:
        assert connection.execute("SELECT number FROM herons").fetchone() == (7,)
    dev("down", folder=folder)
    assert processes_below(folder) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_up_leaves_no_process_and_no_file(home: Path, number: signal.Signals) -> None:
    for server in SERVERS:
        address_of(server)
    folder = home / "stack"
    process = begin("up", folder=folder)
    wait_until(lambda: len(list(folder.glob("*/server.json"))) > 1 or process.poll() is not None, timeout_s=TIMEOUT_S)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, stdout + stderr
    assert stderr.splitlines()[-1] == "refold: stopped, and with it what was started"
    assert processes_below(folder) == []
    assert list(home.iterdir()) == []
