"""One process of the stage pool, as its parent sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from typing import Final

from schemas.errors import MachineError
from schemas.events import Stage
from streams.stages import pool_process
from streams.stages.embed import Embedder
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.frames import pack, unpack
from streams.stages.parse import PARSERS
from streams.stages.pool_process import MARK, STOP_SIGNALS
from streams.stages.stage_task import StageAnswer, StageTask

START_TIMEOUT_S: Final = 60.0
"""A process starts in half a second; on an overloaded machine it has been seen to take ten."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "OMP_NUM_THREADS": "1",  # the processes are the parallelism
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",  # one arena per thread, the default, keeps freed memory apart from where it is needed
}

_LAST_WORDS_BYTES: Final = 64 * 1024
_MAX_TOLD_CHARS: Final = 300
_OUT_OF_MEMORY: Final = ("memory allocation of", "MemoryError", "bad_alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfiguration:
    """What every process of a pool is told at its start.

    Attributes:
        settings: Of the stages.
        embedder: The one that each process loads by name.
        parsers: Where the parsers stand, by name; tests put their own there.
    """

    settings: StageSettings
    embedder: Embedder
    parsers: Mapping[str, str] = field(default_factory=lambda: PARSERS)


class PoolProcess:
    """A process that answers tasks. It is used by one thread at a time; only `kill` may come from another.

    Its standard error is a nameless file of its own, which tells after its death what it was doing and what it said.
    """

    def __init__(self, configuration: PoolConfiguration) -> None:
        self._configuration = configuration
        self._is_ready = False
        try:
            self._last_words = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - `end` closes it
            self._pipe, theirs = Pipe()
            with theirs:
                self._process = self._popen(theirs.fileno())
        except OSError as exc:
            raise _unstartable(str(exc)) from exc
        self.pid = self._process.pid

    def answer(self, task: StageTask) -> StageAnswer:
        """What it makes of `task`; after a StageFailed it must be ended.

        Raises:
            StageFailed: it died, hung, or answered nonsense.
            MachineError: it did not start.
        """
        if not self._is_ready:
            self._wait_until_ready()
        self._forget_last_words()
        try:
            self._pipe.send_bytes(task.packed())
            if not self._pipe.poll(self._configuration.settings.timeout_s):
                raise self._overdue(task)
            return StageAnswer.unpacked(self._pipe.recv_bytes(self._configuration.settings.memory_limit_bytes))
        except (EOFError, OSError, ValueError, LookupError, TypeError) as exc:
            raise self._died(task) from exc

    def kill(self) -> None:
        """End it at once; whoever waits for its answer learns of it."""
        self._process.kill()

    def end(self) -> None:
        """Kill it if it still runs, and let go of everything."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._last_words.close()

    def _popen(self, pipe_fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", pool_process.__name__, str(pipe_fd), str(os.getpid())]
        search_path = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - a string is wanted
        # A signal to the whole group must not end it before it has its own handlers; it inherits the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._last_words,
                pass_fds=[pipe_fd],
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": search_path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _wait_until_ready(self) -> None:
        told = {
            "settings": asdict(self._configuration.settings),
            "embedder": self._configuration.embedder.name,
            "parsers": dict(self._configuration.parsers),
        }
        try:
            self._pipe.send_bytes(pack(told))
            if not self._pipe.poll(START_TIMEOUT_S):
                raise _unstartable(f"it was not ready after {START_TIMEOUT_S:.0f} s")
            header, _ = unpack(self._pipe.recv_bytes())
        except (EOFError, OSError, ValueError) as exc:
            raise _unstartable(self._told()[1] or "it ended without a word") from exc
        if "error" in header:
            raise MachineError(header["error"], op="start pool process", hint=header["hint"])
        if header["fingerprint"] != self._configuration.embedder.fingerprint:
            raise _unstartable("it has another version of the embedder: refold was upgraded while it ran")
        self._is_ready = True

    def _overdue(self, task: StageTask) -> StageFailed:
        self._process.kill()
        stage = self._told()[0] or task.first_stage
        timeout_s = self._configuration.settings.timeout_s
        message = f"the {stage.lower()} stage was not done after {timeout_s:g} s, and its process was killed"
        return StageFailed(f"{stage.lower()}_timeout", message, stage=stage)

    def _died(self, task: StageTask) -> StageFailed:
        self._process.kill()
        exit_code = self._process.wait()
        stage, words = self._told()
        stage = stage or task.first_stage
        if any(sign in words for sign in _OUT_OF_MEMORY):
            limit_mib = self._configuration.settings.memory_limit_bytes // 2**20
            message = f"the document needs more memory than a pool process may take ({limit_mib} MiB)"
            return StageFailed("memory_limit", message, stage=stage)
        end = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"
        message = f"the process that worked on it {end}" + (f": {words}" if words else "")
        return StageFailed("pool_process_died", message, stage=stage)

    def _forget_last_words(self) -> None:
        os.lseek(self._last_words.fileno(), 0, os.SEEK_SET)  # the process writes at the same offset
        os.ftruncate(self._last_words.fileno(), 0)

    def _told(self) -> tuple[Stage | None, str]:
        """The stage it began last, and the last line it said since."""
        size_bytes = os.fstat(self._last_words.fileno()).st_size
        tail = os.pread(self._last_words.fileno(), _LAST_WORDS_BYTES, max(0, size_bytes - _LAST_WORDS_BYTES))
        _, mark, rest = tail.rpartition(MARK)
        stage, _, words = rest.partition(b"\n") if mark else (b"", b"", rest)
        lines = [line for line in words.decode("utf-8", "replace").splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith("note:")]
        return (Stage(stage.decode()) if stage else None), (said[-1][:_MAX_TOLD_CHARS] if said else "")


def _unstartable(reason: str) -> MachineError:
    return MachineError(
        f"a pool process does not start: {reason}",
        op="start pool process",
        hint="check memory and process limits (ulimit -a), then: refold doctor",
    )
