"""The stage pool with processes that hang, eat memory, die and leave: one document each, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from schemas.errors import MachineError
from schemas.events import ErrorClass, Stage
from streams.attempts.pool import PoolClosed, StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.attempts.task import StageAnswer, StageTask
from streams.stages.contents import decode_chunks, decode_text, decode_vectors
from streams.stages.embed import Embedder, load_embedder
from streams.stages.failures import FAILURES, StageFailed
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings
from tests.samples.hostile import OBEDIENT_PARSERS
from tests.worlds.waiting import wait_until

MIB = 1024 * 1024
WAIT_S = 30.0


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(DEFAULT_EMBEDDER)


@pytest.fixture
def make_pool(embedder: Embedder) -> Iterator[Callable[..., StagePool]]:
    """Pools whose plain text parser does what texts tell it to."""
    pools: list[StagePool] = []

    def make(*, processes: int = 2, **settings: float) -> StagePool:
        configuration = PoolConfiguration(
            settings=StageSettings(**settings),  # type: ignore[arg-type]
            embedder=embedder,
            parsers=OBEDIENT_PARSERS,
        )
        pools.append(StagePool(configuration, processes=processes))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def text_task(text: str) -> StageTask:
    return StageTask(media_type="text/plain", content=text.encode())


def text_of(answer: StageAnswer) -> str:
    assert answer.failure is None
    return decode_text(answer.outputs[0].data)


def failure_of(answer: StageAnswer) -> StageFailed:
    assert answer.failure is not None
    return answer.failure


def test_one_trip_gives_text_chunks_and_vectors(make_pool: Callable[..., StagePool], embedder: Embedder) -> None:
    answer = make_pool().run(text_task("A first paragraph.\n\nA second one."))
    assert [output.stage for output in answer.outputs] == [Stage.PARSE, Stage.CHUNK, Stage.EMBED]
    text, chunks, vectors = (output.data for output in answer.outputs)
    assert decode_text(text) == "A first paragraph.\n\nA second one."
    assert [chunk.text for chunk in decode_chunks(chunks)] == ["A first paragraph.\n\nA second one."]
    expected = embedder.embed(["A first paragraph.\n\nA second one."])
    assert decode_vectors(vectors, embedder.dim).tolist() == expected.tolist()


MISBEHAVIOURS = {
    "!kill": ("pool_process_died", "killed by SIGKILL"),
    "!crash": ("pool_process_died", "killed by SIGSEGV"),
    "!leave": ("pool_process_died", "ended with code 0"),
    "!eat": ("memory_limit", "512 MiB"),
    "!eat-as-rust-does": ("memory_limit", "512 MiB"),
    "!hang": ("parse_timeout", "not done after 5 s"),
    "!answer-half": ("parse_timeout", "not done after 5 s"),
    "!trickle": ("parse_timeout", "not done after 5 s"),
    "!boast": ("pool_process_died", f"a frame of {512 * MIB + 1} bytes, more than {512 * MIB}"),
    "!count": ("pool_process_died", "a count that is none"),
    "!mark-strangely": ("pool_process_died", "killed by signal"),
    "!take-1024": ("memory_limit", "512 MiB"),
    "!divide": ("parser_failed", "ZeroDivisionError"),
    "!fill": ("parser_failed", "File too large"),
}


def test_misbehaving_documents_fail_and_their_neighbours_do_not(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(timeout_s=5.0, memory_limit_bytes=512 * MIB)
    orders = [order for order in MISBEHAVIOURS for _ in range(3)]
    orders[1::3] = orders[2::3] = [f"neighbour of {order}" for order in MISBEHAVIOURS]
    with ThreadPoolExecutor(4) as threads:
        answers = dict(zip(orders, threads.map(pool.run, map(text_task, orders)), strict=True))
    for order, answer in answers.items():
        if order in MISBEHAVIOURS:
            code, words = MISBEHAVIOURS[order]
            failure = failure_of(answer)
            assert (failure.code, failure.stage) == (code, Stage.PARSE), order
            assert words in str(failure)
        else:
            assert text_of(answer) == order


@pytest.mark.parametrize("order", ["!hang", "!answer-half", "!trickle", "a stopped process"])
def test_one_deadline_holds_for_sending_work_and_receiving(make_pool: Callable[..., StagePool], order: str) -> None:
    pool = make_pool(processes=1, timeout_s=2.0)
    text_of(pool.run(text_task("it is ready")))
    if order == "a stopped process":
        os.kill(pool.pids[0], signal.SIGSTOP)
        order = "y" * 3_000_000  # more than a pipe holds, so that sending it waits
    began_s = time.monotonic()
    failure = failure_of(pool.run(text_task(order)))
    took_s = time.monotonic() - began_s
    assert (failure.code, failure.stage) == ("parse_timeout", Stage.PARSE)
    assert 2.0 <= took_s < 15.0  # not ten times the limit, on however busy a machine
    assert text_of(pool.run(text_task("its successor"))) == "its successor"


def test_a_document_may_take_what_the_limit_leaves_and_no_more(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1, memory_limit_bytes=768 * MIB)
    assert pool.run(text_task("!take-256")).failure is None
    assert failure_of(pool.run(text_task("!take-1024"))).code == "memory_limit"


def test_what_a_document_says_beside_its_answer_is_no_answer_to_another(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1)
    for text in ("!answer-early", "the next", "!answer-early", "the last"):
        assert text_of(pool.run(text_task(text))) == text


def test_every_way_to_end_a_process_has_its_class() -> None:
    assert FAILURES["pool_process_died"].error_class is ErrorClass.POISON
    assert FAILURES["memory_limit"].error_class is ErrorClass.POISON
    assert FAILURES["parse_timeout"].error_class is ErrorClass.TIMEOUT


def test_a_pool_that_is_warmed_up_has_every_process_ready(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=2)
    pool.warm_up()
    idle = [pool._idle.get() for _ in range(2)]
    for process in idle:
        pool._idle.put(process)
    assert [process is not None and process._is_ready for process in idle] == [True, True]
    assert text_of(pool.run(text_task("hello"))) == "hello"
    pool.close()
    with pytest.raises(PoolClosed):
        pool.warm_up()


def test_a_pool_outlives_any_number_of_deaths(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1)
    for number in range(3):
        assert failure_of(pool.run(text_task("!kill"))).code == "pool_process_died"
        assert text_of(pool.run(text_task(f"still here {number}"))) == f"still here {number}"


def test_a_process_killed_between_documents_costs_none(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1)
    pool.run(text_task("first"))
    process = psutil.Process(pool.pids[0])
    process.kill()
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, timeout_s=WAIT_S, pause_s=0.01)
    assert text_of(pool.run(text_task("second"))) == "second"


def test_a_process_that_keeps_too_much_memory_is_replaced(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1, memory_limit_bytes=512 * MIB)
    first = text_of(pool.run(text_task("!pid")))
    assert text_of(pool.run(text_task("!pid"))) == first
    assert pool.run(text_task("!keep")).is_last
    assert text_of(pool.run(text_task("!pid"))) != first


def test_signals_to_the_whole_group_are_left_to_the_parent(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1)
    pool.start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pool.pids[0], number)  # while it starts
    pid = text_of(pool.run(text_task("!pid")))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(int(pid), number)
    assert text_of(pool.run(text_task("!pid"))) == pid


def test_closing_ends_work_and_processes(make_pool: Callable[..., StagePool]) -> None:
    pool = make_pool(processes=1)
    pool.start()
    pids = pool.pids
    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(pool.run, text_task("!hang")) for _ in range(3)]
        wait_until(lambda: psutil.Process(pids[0]).status() == psutil.STATUS_SLEEPING, timeout_s=WAIT_S, pause_s=0.01)
        pool.close()
        for future in running:
            with pytest.raises(PoolClosed):
                future.result(WAIT_S)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    pool.close()
    with pytest.raises(PoolClosed):
        pool.run(text_task("too late"))


def test_an_embedder_that_cannot_be_loaded_is_told_as_it_is() -> None:
    configuration = PoolConfiguration(settings=StageSettings(), embedder=_Stranger("no-such-model"))
    pool = StagePool(configuration, processes=1)
    with pytest.raises(MachineError, match="no embedder named 'no-such-model'"):
        pool.run(text_task("x"))
    pool.close()


def test_an_embedder_of_another_version_is_refused() -> None:
    pool = StagePool(PoolConfiguration(settings=StageSettings(), embedder=_Stranger(DEFAULT_EMBEDDER)), processes=1)
    with pytest.raises(MachineError, match="another version of the embedder"):
        pool.run(text_task("x"))
    pool.close()


def test_a_machine_that_starts_no_processes_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = StagePool(PoolConfiguration(settings=StageSettings(), embedder=_Stranger(DEFAULT_EMBEDDER)), processes=1)
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    for _ in range(2):
        with pytest.raises(MachineError, match="does not start") as refused:
            pool.run(text_task("x"))
        assert refused.value.hint
    pool.close()


@pytest.mark.parametrize("fails_by", ["OSError", "RuntimeError"])
def test_a_start_that_fails_leaves_a_pool_that_closes_and_starts_again(
    make_pool: Callable[..., StagePool], monkeypatch: pytest.MonkeyPatch, fails_by: str
) -> None:
    pool = make_pool(processes=2)
    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as thread:
        if fails_by == "OSError":
            patched.setattr(sys, "executable", "/no/such/interpreter")
        else:
            patched.setattr(pool._launcher, "submit", cannot_start_a_thread)
        for begin in (pool.start, pool.start, lambda: pool.run(text_task("x"))):
            with pytest.raises(MachineError, match="does not start"):
                thread.submit(begin).result(WAIT_S)
    pool.start()
    assert text_of(pool.run(text_task("there is room again"))) == "there is room again"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(pool.close).result(WAIT_S)


def cannot_start_a_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


SCRIPT = """
import sys, threading
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import StageSettings
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.attempts.task import StageTask
from tests.samples.hostile import OBEDIENT_PARSERS

embedder = load_embedder("wordllama-256")
pool = StagePool(PoolConfiguration(settings=StageSettings(), embedder=embedder, parsers=OBEDIENT_PARSERS), processes=2)
pool.run(StageTask(media_type="text/plain", content=b"hello"))
threading.Thread(target=pool.run, args=[StageTask(media_type="text/plain", content=b"!hang")], daemon=True).start()
pool.run(StageTask(media_type="text/plain", content=b"hello"))
print(*pool.pids, flush=True)
sys.stdin.read()
"""


def test_a_script_needs_no_main_guard_and_its_sudden_death_ends_the_processes() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        pids = [int(pid) for pid in script.stdout.readline().split()]
        assert len(pids) == 2
        assert all(psutil.pid_exists(pid) for pid in pids)
        script.kill()
        script.wait()
        wait_until(lambda: not any(_runs(pid) for pid in pids), timeout_s=WAIT_S, pause_s=0.01)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class _Stranger:
    """An embedder that no process knows."""

    name: str
    dim: int = 256
    fingerprint: str = "strange"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError(texts)
