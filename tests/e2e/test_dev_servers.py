"""`refold dev`: servers come up from packages, say where they are, and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from servers import address_of, open_folder

from refold.local.stack import SERVERS

ROOT = Path(__file__).parent.parent.parent


def dev(*arguments: str, folder: Path, exit_code: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "refold", "dev", *arguments, "--dir", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
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
    shutil.rmtree(folder)


@pytest.mark.slow
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
