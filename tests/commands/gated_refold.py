"""refold's command line, whose documents go to the stage pool one by one as a test lets them: `Gate`.

So a job is as far as the test wants, however fast or slow the machine is.
"""

from __future__ import annotations

import os
from pathlib import Path

from refold.cli import main
from streams.attempts.pool import StagePool
from streams.attempts.task import StageAnswer, StageTask
from tests.commands.refold_cli import Cli

VARIABLE = "GATE"


class Gate:
    """A pipe, of which each document takes a byte before it goes to a pool process."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._end = os.open(path, os.O_RDWR)

    def cli(self, data: Path, environment: dict[str, str]) -> Cli:
        """The command line behind this gate; other processes on the same folder are free."""
        return Cli(data, {**environment, VARIABLE: str(self._path)}, program=(__file__,))

    def let(self, documents: int) -> None:
        """Let that many more through."""
        os.write(self._end, b"." * documents)

    def open(self) -> None:
        """Let all through from now on: readers are at the end of the pipe."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1


def _gated() -> None:
    run, gate = StagePool.run, os.open(os.environ[VARIABLE], os.O_RDONLY | os.O_NONBLOCK)  # it may be open already
    os.set_blocking(gate, True)

    def run_when_let(pool: StagePool, task: StageTask) -> StageAnswer:
        os.read(gate, 1)
        return run(pool, task)

    StagePool.run = run_when_let  # type: ignore[method-assign]


if __name__ == "__main__":
    _gated()
    main()
