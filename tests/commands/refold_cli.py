"""The command line as a person runs it: other processes, real exit codes, JSON answers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it exited."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@dataclass(frozen=True)
class Cli:
    """Runs `refold` against one data folder; `program` is what Python is told to run."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "refold")

    def __call__(self, *arguments: str, exit_code: int | None = 0) -> Answer:
        """Run a command to its end; `exit_code` None accepts any."""
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            kill_group(process)
            stdout, stderr = process.communicate()
            raise AssertionError(f"{arguments} did not end: {stderr}") from None
        return self.checked(arguments, Answer(process.returncode, stdout, stderr), exit_code=exit_code)

    @staticmethod
    def checked(arguments: Sequence[str], answer: Answer, *, exit_code: int | None) -> Answer:
        """`answer`, which must be what a person may be shown."""
        assert "Traceback" not in answer.stderr, answer.stderr
        assert exit_code is None or answer.exit_code == exit_code, (arguments, answer)
        return answer

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, *self.program, *arguments, "--data", str(self.data)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            start_new_session=True,
        )


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def age(folder: Path, *, by_s: float = 3600.0) -> None:
    """Make every file below `folder` old enough to be told from a later change."""
    for path in folder.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime - by_s, stat.st_mtime - by_s))
