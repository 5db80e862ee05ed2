"""A program that uses refold keeps what it has set for itself."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

import refold
from refold.engine.engine import Engine
from refold.settings.settings import load_settings
from tests.commands.refold_cli import ROOT, Cli, kill_group

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


async def test_an_opening_that_is_cancelled_leaves_the_folder_free(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await refold.open(tmp_path / "data").__aenter__()
        async with refold.open(tmp_path / "data", settings={"lock_wait_s": 0.0}) as pipeline:
            assert (await pipeline.call("status"))["documents"]["live_documents"] == 0


async def test_an_opening_that_waits_for_the_folder_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    async with refold.open(tmp_path / "data") as owner:
        waiting = asyncio.create_task(refold.open(tmp_path / "data", settings={"lock_wait_s": 3600.0}).__aenter__())
        await owner.add("a", text="whales")
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=60)
        assert waiting.cancelled()


async def test_a_pipeline_is_opened_again_once_it_is_closed_and_not_before(tmp_path: Path) -> None:
    pipeline = refold.open(tmp_path / "data")
    with pytest.raises(refold.RefoldError, match="is not open"):
        await pipeline.search("whales")
    async with pipeline:
        await pipeline.add("a", text="whales sing")
        with pytest.raises(refold.RefoldError, match="open already"):
            await pipeline.__aenter__()
        assert len((await pipeline.search("whales")).hits) == 1
    with pytest.raises(refold.RefoldError, match="the pipeline is closed"):
        await pipeline.search("whales")
    with pytest.raises(refold.RefoldError, match="the pipeline is closed"):
        await pipeline.call("status")
    async with pipeline:
        assert (await pipeline.add("b", text="whales dive")).status == "completed"
        assert len((await pipeline.search("whales")).hits) == 2
        async with aclosing(pipeline.subscribe(["documents"])) as deliveries:
            assert await anext(deliveries)
    await pipeline.__aexit__(None, None, None)


async def test_what_waits_when_the_pipeline_is_closed_says_so(tmp_path: Path) -> None:
    pipeline = refold.open(tmp_path / "data")
    begun, closed = threading.Event(), threading.Event()
    stopped: list[bool] = []

    def wait(engine: Engine, stop: threading.Event) -> None:
        begun.set()
        stopped.append(stop.wait(60))
        closed.wait(60)
        engine.parts.search.search("whales")

    async with pipeline:
        await pipeline.add("a", text="whales sing")
        waiting = asyncio.create_task(pipeline._lifetime.lend(wait))
        await asyncio.to_thread(begun.wait, 60)
    closed.set()
    with pytest.raises(refold.RefoldError, match="closed meanwhile"):
        await waiting
    assert stopped == [True]


async def test_a_pipeline_is_closed_though_every_thread_for_calls_waits(tmp_path: Path) -> None:
    def wait(_: Engine, stop: threading.Event) -> bool:
        return stop.wait(60)

    async with refold.open(tmp_path / "data") as pipeline:
        waiting = [asyncio.create_task(pipeline._lifetime.lend(wait)) for _ in range(40)]  # to_thread has 32 at most
        await asyncio.sleep(0)
    assert {task.result() for task in waiting if task.done()} <= {True}
    assert not [task for task in await asyncio.gather(*waiting) if not task]


SERVING = """
import asyncio, os, sys
import refold

async def use():
    async with refold.open(sys.argv[1]) as pipeline:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if os.fork() == 0:
            os.read(0, 1)  # outlives its parent, until the test ends
            os._exit(0)
        print("forked", flush=True)
        await asyncio.sleep(3600)

asyncio.run(use())
"""


def test_a_forwarded_command_notices_that_its_owner_was_killed_though_a_child_of_it_lives(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", SERVING, str(tmp_path / "data")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdin is not None
    assert owner.stdout is not None
    assert owner.stdout.readline() == "open\n"
    tail = Cli(tmp_path / "data").start("log", "tail", "--follow", "--json")
    Cli(tmp_path / "data")("documents", "add", "a", "--text", "whales")
    assert tail.stdout is not None
    assert json.loads(tail.stdout.readline())  # it is connected
    owner.stdin.write("fork\n")
    owner.stdin.flush()
    assert owner.stdout.readline() == "forked\n"
    owner.kill()
    owner.wait()
    Cli(tmp_path / "data")("documents", "add", "b", "--text", "dolphins")
    while "push:b" not in tail.stdout.readline():
        assert tail.poll() is None
    kill_group(tail)
    owner.stdin.close()


FORKING = """
import asyncio, os, sys
import refold

async def use():
    pipeline = refold.open(sys.argv[1])
    reads, writes = os.pipe()
    hears, says = os.pipe()
    async with pipeline:
        await pipeline.add("a", text="whales")
        child = os.fork()
        if child == 0:
            os.close(writes)
            os.write(says, b".")
            os.read(reads, 1)  # lives until the parent has done what it has to
            try:
                pipeline._open_engine
            except refold.RefoldError as error:
                await pipeline.__aexit__(None, None, None)
                os._exit(0 if "process that has opened it" in str(error) else 2)
            os._exit(3)
        os.close(reads)
        os.read(hears, 1)
    async with refold.open(sys.argv[1], settings={"lock_wait_s": 0.0}) as again:
        print("hits:", len((await again.search("whales")).hits))
    os.close(writes)
    print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

asyncio.run(use())
"""


def test_a_forked_child_keeps_neither_lock_nor_pipeline(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path / "data")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (run.stdout.splitlines(), run.returncode) == (["hits: 1", "child: 0"], 0), run.stderr
