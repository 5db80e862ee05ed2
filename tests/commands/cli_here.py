"""The command line in the process of the test: the same words and exit codes, without what a process costs to start.

For tests of what commands do. Those of what becomes of a process (kills, signals, terminals, damaged files that may
take a process with them, two processes on one folder) take `refold_cli.Cli`, which starts one for each command.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from refold.cli.app import run
from streams.process_log import log_from
from tests.commands.refold_cli import Answer, Cli

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


@dataclass(frozen=True)
class CliHere(Cli):
    """Runs commands in this process; `start` begins another, as ever."""

    def __call__(self, *arguments: str, exit_code: int | None = 0) -> Answer:
        """Run a command to its end; where it may not have the main thread for itself, another process does."""
        if threading.current_thread() is not threading.main_thread() or _has_loop():
            return super().__call__(*arguments, exit_code=exit_code)
        answer = run_here([*arguments, "--data", str(self.data)], environment=self.environment)
        return self.checked(arguments, answer, exit_code=exit_code)


def run_here(arguments: Sequence[str], *, environment: Mapping[str, str]) -> Answer:
    """What `refold` prints and how it exits, run to its end in this process, which is as it was before afterwards."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        code: object = None
        with _process_of_its_own(["refold", *arguments], environment, out, err):
            try:
                run()
            except SystemExit as exc:
                code = exc.code
        out.seek(0)
        err.seek(0)
        return Answer(code if isinstance(code, int) else 0, out.read(), err.read())


@contextmanager
def _process_of_its_own(argv: list[str], environment: Mapping[str, str], out: IO[str], err: IO[str]) -> Iterator[None]:
    """Arguments, environment and outputs of a command, and room for what a process of refold's own sets."""
    before = (sys.argv, dict(os.environ), gc.get_threshold(), log_from(None))
    with _descriptor(STANDARD_OUTPUT, out), _descriptor(STANDARD_ERROR, err):
        try:
            sys.argv = argv
            os.environ.update(environment)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            sys.argv, environ, thresholds, level = before
            os.environ.clear()
            os.environ.update(environ)
            gc.set_threshold(*thresholds)
            log_from(level)


@contextmanager
def _descriptor(number: int, file: IO[str]) -> Iterator[None]:
    """Have the descriptor `number` lead to `file`: libraries write there past Python."""
    kept = os.dup(number)
    os.dup2(file.fileno(), number)
    try:
        yield
        file.flush()
    finally:
        os.dup2(kept, number)
        os.close(kept)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
