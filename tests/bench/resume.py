"""Many small documents: memory on the way, how soon an ingest goes on after a SIGKILL, and what a no-op costs then."""

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
from streams.logs.sqlite.log import SqliteLog
from tests.bench.corpus import generate
from tests.bench.measured import PeakMemory, measured, refold

DOCUMENTS = 100_000
KILLED_AT_SHARE = 0.9
MEMORY_FROM_SHARE = 0.1
"""Memory may grow until so many documents are done; what it grows by after that is measured."""

VECTOR_BYTES_PER_CHUNK = 250
"""What the vector index is said to keep of each chunk in anonymous memory while it writes; these have one chunk."""

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
        first_bytes, last_bytes = _killed(command, data, documents)
        until_killed_s = perf_counter() - began_s
        resume_s = _resumed_after_s(command, data)
        noop = measured(command)
        assert not noop.result["requested"], noop.result
        return {
            "documents": documents,
            "documents_per_s": documents * KILLED_AT_SHARE / until_killed_s,
            "memory_at_a_tenth_mib": first_bytes / 2**20,
            "memory_at_the_end_mib": last_bytes / 2**20,
            "memory_grown_mib": (last_bytes - first_bytes - _vector_bytes(documents)) / 2**20,
            "resume_s": resume_s,
            "noop_wall_s": noop.wall_s,
            "noop_cpu_s": noop.cpu_s,
            "noop_inside_s": noop.result["seconds"],
            "noop_files_per_s": documents / noop.result["seconds"],
            "noop_files_per_s_whole_process": documents / noop.wall_s,
            "noop_peak_mib": noop.peak_bytes / 2**20,
        }


def _vector_bytes(documents: int) -> int:
    return int(documents * (KILLED_AT_SHARE - MEMORY_FROM_SHARE)) * VECTOR_BYTES_PER_CHUNK


def _killed(command: list[str], data: Path, documents: int) -> tuple[int, int]:
    """The most anonymous memory of all processes until a tenth of the documents was done, and until the kill."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline_s = perf_counter() + DEADLINE_S
    while not (data / "log.sqlite").exists():
        time.sleep(POLL_S)
    time.sleep(1)  # the file is there before its tables are
    memory = PeakMemory(process.pid)
    with closing(SqliteLog(data / "log.sqlite", read_only=True)) as log:
        peaks = []
        for share in (MEMORY_FROM_SHARE, KILLED_AT_SHARE):
            at_offset = int(documents * share) * _EVENTS_PER_DOCUMENT
            while log.end([_DOCUMENTS]).offset(_DOCUMENTS) < at_offset and process.poll() is None:
                assert perf_counter() < deadline_s
                time.sleep(POLL_S)
            peaks.append(memory.bytes)
    assert process.poll() is None, "it ended before it could be killed"
    memory.stop()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return peaks[0], peaks[1]


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
