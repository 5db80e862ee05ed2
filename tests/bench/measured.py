"""A command in a fresh process: how long it took, what processor time, and how much memory at most."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

SAMPLE_S = 0.2
"""Memory is looked at this often; what lives shorter than that is not seen."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took.

    Attributes:
        wall_s: From its start to its end.
        cpu_s: User and system time of it and all processes it waited for.
        peak_bytes: Anonymous memory of it and all its descendants together (Linux; else 0).
        result: The last line it printed, as JSON.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    result: dict[str, Any]


def refold(*arguments: str | Path) -> list[str]:
    """The command line of refold with `arguments`, as JSON."""
    return [sys.executable, "-m", "refold", *map(str, arguments), "--json"]


def measured(command: Sequence[str], *, may_fail: bool = False) -> Measured:
    """Run `command` to its end.

    Raises:
        RuntimeError: it failed.
    """
    started_s = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = PeakMemory(process.pid)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = perf_counter() - started_s
    peak.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not may_fail:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output[-500:]}")
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, peak.bytes, json.loads(output.splitlines()[-1]))


class PeakMemory(threading.Thread):
    """Watches the anonymous memory of a process and its descendants; `bytes` is the most that was seen of all."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stopping = threading.Event()
        self.bytes = 0
        self.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Look every SAMPLE_S."""
        while not self._stopping.wait(SAMPLE_S):
            with suppress(psutil.Error):
                process = psutil.Process(self._pid)
                pids = [process.pid, *(child.pid for child in process.children(recursive=True))]
                self.bytes = max(self.bytes, sum(map(_anonymous_bytes, pids)))


def _anonymous_bytes(pid: int) -> int:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1_024 * int(line.split()[1])
    return 0
