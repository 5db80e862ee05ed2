"""A program that uses refold keeps what it has set for itself."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from refold_cli import ROOT

from refold.settings import load_settings

GUEST = """
import asyncio, gc, json, os, signal, sys
import structlog
import refold

def state():
    return {
        "gc": gc.get_threshold(),
        "structlog": structlog.is_configured(),
        "umask": oct(os.umask(0o022)),
        "signals": [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
    }

async def use():
    async with refold.open(sys.argv[1]) as pipeline:
        await pipeline.add("a", text="whales sing")
        return len((await pipeline.search("whales")).hits)

before = state()
hits = asyncio.run(use())
print(json.dumps({"hits": hits, "before": before, "after": state()}))
"""


def test_collector_log_signals_and_standard_output_are_the_programs_own(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", GUEST, str(tmp_path / "data")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)  # one line: the log of the library did not go there
    assert told["hits"] == 1
    assert told["before"] == told["after"]
    assert told["before"]["gc"] == list(gc.get_threshold())


def test_threads_that_name_different_settings_files_get_their_own(tmp_path: Path) -> None:
    wrong: list[int] = []

    def load(size: int) -> None:
        file = tmp_path / f"{size}.yaml"
        file.write_text(f"chunking: {{size: {size}}}\n")
        wrong.extend(found for _ in range(100) if (found := load_settings({}, config=file).chunking.size) != size)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=load, args=(size,)) for size in (500, 600)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.parametrize("level", ["warning", "info"])
def test_a_process_of_refolds_own_logs_json_lines_from_the_level_on(tmp_path: Path, level: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "refold", "documents", "add", "a", "--text", "whales", "--data", str(tmp_path / "data")],
        cwd=ROOT, capture_output=True, text=True, check=True, env={"REFOLD_LOG_LEVEL": level, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    events = [json.loads(line)["event"] for line in run.stderr.splitlines()]
    assert events[:2] == ([] if level == "warning" else ["begun", "opened"])
