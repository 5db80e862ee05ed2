"""One process of the stage pool, as its parent sees it; `pool_child.py` is what runs in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import Final

from schemas.errors import MachineError
from schemas.events import Stage
from streams.attempts import pool_child
from streams.attempts.frame_pipe import FramePipe
from streams.attempts.pool_child import MARK, STOP_SIGNALS, TAG_BYTES
from streams.attempts.sound_answer import check_sound
from streams.attempts.task import StageAnswer, StageTask, pack, unpack
from streams.stages.embed import EmbedderSpec
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.parse import PARSERS

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

_STAGES: Final = {stage.encode(): stage for stage in (Stage.PARSE, Stage.CHUNK, Stage.EMBED)}
_LAST_WORDS_BYTES: Final = 64 * 1024
_MAX_QUOTED_CHARS: Final = 300
_OUT_OF_MEMORY: Final = ("memory allocation of", "MemoryError", "bad_alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfiguration:
    """What every process of a pool is sent at its start.

    Attributes:
        settings: Of the stages.
        embedder: The one that each process loads by name.
        parsers: The modules of the parsers, by name; tests put their own there.
    """

    settings: StageSettings
    embedder: EmbedderSpec
    parsers: Mapping[str, str] = field(default_factory=lambda: PARSERS)


class PoolProcess:
    """A process that answers tasks. It is used by one thread at a time; only `kill` may come from another.

    Its standard error is a nameless file of its own, which tells after its death what it was doing and what it said.
    """

    def __init__(self, configuration: PoolConfiguration) -> None:
        self._configuration = configuration
        self._is_ready = False
        try:
            with ExitStack() as held:
                self._last_words = held.enter_context(tempfile.TemporaryFile(buffering=0))
                ours, theirs = socket.socketpair()
                self._pipe = held.enter_context(closing(FramePipe(ours)))
                with theirs:
                    self._process = self._popen(theirs.fileno())
                held.pop_all()  # `end` closes them
        except OSError as exc:
            raise unstartable(str(exc)) from exc
        self.pid = self._process.pid

    def is_quiet(self) -> bool:
        """Whether it waits for a task: it still runs, and has said nothing that nobody asked it for."""
        return self._pipe.is_quiet()

    def answer(self, task: StageTask) -> StageAnswer:
        """What it makes of `task`; after a StageFailed it must be ended.

        Raises:
            StageFailed: it died, hung, or answered nonsense.
            MachineError: it did not start.
        """
        self.wait_until_ready()
        self._forget_last_words()
        try:
            frame = self._exchanged(task.packed())
        except TimeoutError as exc:
            raise self._overdue(task) from exc
        except (EOFError, OSError) as exc:
            raise self._died(task) from exc
        except ValueError as exc:
            raise self._unsound(task, exc) from exc
        try:
            answer = StageAnswer.unpacked(frame)
            check_sound(answer, task, settings=self._configuration.settings, dim=self._configuration.embedder.dim)
        except Exception as exc:  # whatever reading it raises: it is no answer of ours
            raise self._unsound(task, exc) from exc
        return answer

    def wait_until_ready(self) -> None:
        """Return when it can be given a task; one that raised must be ended.

        Raises:
            MachineError: it did not start.
        """
        if not self._is_ready:
            self._prepare()

    def kill(self) -> None:
        """End it at once; a thread that waits for its answer learns of it, even if the pipe has other holders."""
        self._process.kill()
        self._pipe.shut()

    def end(self) -> None:
        """Kill it if it still runs, and let go of everything."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._last_words.close()

    def _exchanged(self, frame: bytes) -> bytes:
        """What it answers to `frame`; one deadline holds for sending, working and receiving.

        Each task has a tag of its own that its answer repeats: what an earlier document has left in the pipe is no
        answer to this one.
        """
        settings, tag = self._configuration.settings, os.urandom(TAG_BYTES)
        deadline_s = time.monotonic() + settings.timeout_s
        self._pipe.send(tag, frame, deadline_s=deadline_s)
        while True:
            answer = self._pipe.receive(limit_bytes=settings.memory_limit_bytes, deadline_s=deadline_s)
            if answer.startswith(tag):
                return answer[TAG_BYTES:]

    def _popen(self, pipe_fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", pool_child.__name__, str(pipe_fd), str(os.getpid())]
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

    def _prepare(self) -> None:
        configuration = {
            "settings": asdict(self._configuration.settings),
            "embedder": self._configuration.embedder.name,
            "parsers": dict(self._configuration.parsers),
        }
        deadline_s = time.monotonic() + START_TIMEOUT_S
        try:
            self._pipe.send(pack(configuration), deadline_s=deadline_s)
            header, _ = unpack(self._pipe.receive(deadline_s=deadline_s))
        except TimeoutError as exc:
            raise unstartable(f"it was not ready after {START_TIMEOUT_S:.0f} s") from exc
        except (EOFError, OSError, ValueError) as exc:
            raise unstartable(self._read_last_words()[1] or "it ended without a word") from exc
        if "error" in header:
            raise MachineError(header["error"], op="start pool process", hint=header["hint"])
        if header["fingerprint"] != self._configuration.embedder.fingerprint:
            raise unstartable("it has another version of the embedder: refold was upgraded while it ran")
        self._is_ready = True

    def _overdue(self, task: StageTask) -> StageFailed:
        self._process.kill()
        stage = self._read_last_words()[0] or task.first_stage
        timeout_s = self._configuration.settings.timeout_s
        message = f"the {stage.lower()} stage was not done after {timeout_s:g} s, and its process was killed"
        return StageFailed(f"{stage.lower()}_timeout", message, stage=stage)

    def _unsound(self, task: StageTask, exc: Exception) -> StageFailed:
        self._process.kill()
        message = f"the process that worked on it answered what no stage gives, and was killed: {type(exc).__name__}"
        return StageFailed("pool_process_died", f"{message}: {exc}", stage=task.first_stage)  # the first that ran it

    def _died(self, task: StageTask) -> StageFailed:
        self._process.kill()
        exit_code = self._process.wait()
        stage, words = self._read_last_words()
        stage = stage or task.first_stage
        if any(sign in words for sign in _OUT_OF_MEMORY):
            limit_mib = self._configuration.settings.memory_limit_bytes // 2**20
            message = f"the document needs more memory than a pool process may take ({limit_mib} MiB)"
            return StageFailed("memory_limit", message, stage=stage)
        message = f"the process that worked on it {_end_of(exit_code)}" + (f": {words}" if words else "")
        return StageFailed("pool_process_died", message, stage=stage)

    def _forget_last_words(self) -> None:
        os.lseek(self._last_words.fileno(), 0, os.SEEK_SET)  # the process writes at the same offset
        os.ftruncate(self._last_words.fileno(), 0)

    def _read_last_words(self) -> tuple[Stage | None, str]:
        """The stage it began last, and the last line it said since."""
        size_bytes = os.fstat(self._last_words.fileno()).st_size
        tail = os.pread(self._last_words.fileno(), _LAST_WORDS_BYTES, max(0, size_bytes - _LAST_WORDS_BYTES))
        _, mark, rest = tail.rpartition(MARK)
        stage, _, words = rest.partition(b"\n") if mark else (b"", b"", rest)
        lines = [line for line in words.decode("utf-8", "replace").splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith("note:")]
        return _STAGES.get(stage), (said[-1][:_MAX_QUOTED_CHARS] if said else "")


def _end_of(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # one of the nameless real-time signals
        return f"was killed by signal {-exit_code}"


def unstartable(reason: str) -> MachineError:
    """The error to raise where a pool process does not start."""
    return MachineError(
        f"a pool process does not start: {reason}",
        op="start pool process",
        hint="check memory and process limits (ulimit -a), then: refold doctor",
    )
