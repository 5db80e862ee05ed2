"""Many small documents: how soon an ingest goes on after a SIGKILL near its end, and what a no-op costs then."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from schemas.events import DocumentCompleted
from schemas.positions import Position, TopicPartition
from streams.logs.sqlite import SqliteLog
from tests.bench.corpus import generate
from tests.bench.measured import measured, refold

DOCUMENTS = 100_000
KILLED_AT_SHARE = 0.9
POLL_S = 0.02
DEADLINE_S = 3_600.0

_DOCUMENTS = TopicPartition("documents", 0)
_EVENTS_PER_DOCUMENT = 3


def run(*, documents: int = DOCUMENTS) -> dict[str, Any]:
    """Seconds from the start of a new process to the first new answer, and files per second of a no-op."""
    with TemporaryDirectory(dir=Path.cwd()) as place:
        folder, data = Path(place, "files"), Path(place, "data")
        generate(folder, count=documents)
        command = refold("ingest", folder, "--data", data)
        began_s = perf_counter()
        _killed(command, data, at_offset=int(documents * KILLED_AT_SHARE) * _EVENTS_PER_DOCUMENT)
        until_killed_s = perf_counter() - began_s
        resume_s = _resumed_after_s(command, data)
        noop = measured(command)
        assert not noop.result["requested"], noop.result
        return {
            "documents": documents,
            "documents_per_s": documents * KILLED_AT_SHARE / until_killed_s,
            "resume_s": resume_s,
            "noop_wall_s": noop.wall_s,
            "noop_cpu_s": noop.cpu_s,
            "noop_inside_s": noop.result["seconds"],
            "noop_files_per_s": documents / noop.result["seconds"],
            "noop_files_per_s_whole_process": documents / noop.wall_s,
            "noop_peak_mib": noop.peak_bytes / 2**20,
        }


def _killed(command: list[str], data: Path, *, at_offset: int) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline_s = perf_counter() + DEADLINE_S
    while not (data / "log.sqlite").exists():
        time.sleep(POLL_S)
    time.sleep(1)  # the file is there before its tables are
    with closing(SqliteLog(data / "log.sqlite", read_only=True)) as log:
        while log.end([_DOCUMENTS]).offset(_DOCUMENTS) < at_offset and process.poll() is None:
            assert perf_counter() < deadline_s
            time.sleep(POLL_S)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _resumed_after_s(command: list[str], data: Path) -> float:
    """From the start of a process to the first document that it completes; then it runs to its end."""
    with closing(SqliteLog(data / "log.sqlite", read_only=True)) as log:
        position = log.end([_DOCUMENTS])
        began_s = perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not _has_completed_one(log, position):
            assert process.poll() is None, "it ended without an answer"
            time.sleep(POLL_S)
        resume_s = perf_counter() - began_s
    assert process.wait() == 0
    return resume_s


def _has_completed_one(log: SqliteLog, after: Position) -> bool:
    return any(
        isinstance(recorded.event, DocumentCompleted)
        for batch in log.read([_DOCUMENTS], after)
        for recorded in batch.recorded
    )
