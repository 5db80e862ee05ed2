"""What sources, stores and stages do wrong, as the log is told of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.errors import DiskFull, MachineError, UsageError
from schemas.events import ArtifactRef, ErrorClass, Finding, Stage
from streams.attempts.byte_budget import ByteBudget
from streams.attempts.pool import StagePool
from streams.source import Content, SourceChanged, SourceGone, SourceUnavailable, SourceUnreadable
from streams.stages.failures import FAILURES
from streams.stages.fingerprints import StageSettings
from tests.worlds.attempt import REINDEX, AttemptWorld, completed, make_pool


@pytest.fixture(scope="module")
def pool() -> Iterator[StagePool]:
    pool = make_pool(StageSettings(max_document_bytes=10_000))
    yield pool
    pool.close()


@pytest.fixture
def world(tmp_path: Path, pool: StagePool) -> AttemptWorld:
    return AttemptWorld(tmp_path, pool)


class FaultySource:
    """Raises `error` whatever it is to read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def read(self, finding: Finding, *, limit_bytes: int | None = None) -> Content:  # noqa: ARG002 - the port's signature
        raise self._error


@pytest.mark.parametrize(
    ("error", "error_class", "code"),
    [
        (SourceGone("away", hint="look"), ErrorClass.PERMANENT, "source_gone"),
        (SourceUnreadable("no permission", hint="chmod"), ErrorClass.PERMANENT, "source_unreadable"),
        (SourceUnavailable("busy", hint="wait", retry_after_s=7.5), ErrorClass.TRANSIENT, "source_unavailable"),
        (SourceChanged("it grows", hint="wait"), ErrorClass.TRANSIENT, "source_changed"),
    ],
)
async def test_a_source_tells_what_is_wrong_with_it(
    tmp_path: Path, pool: StagePool, error: SourceGone, error_class: ErrorClass, code: str
) -> None:
    world = AttemptWorld(tmp_path, pool, readers={"web": FaultySource(error)})
    failed = await world.failed("page", uri="https://host/page", adapter="web", finding=None)
    assert (failed.stage, failed.error_class, failed.error_code) == (Stage.FETCH, error_class, code)
    assert (failed.message, failed.hint) == (str(error), error.hint)
    assert failed.retry_after_s == (7.5 if code == "source_unavailable" else None)


async def test_a_bug_in_an_adapter_is_an_outcome_too(tmp_path: Path, pool: StagePool) -> None:
    world = AttemptWorld(tmp_path, pool, readers={"web": FaultySource(ZeroDivisionError("oops"))})
    failed = await world.failed("page", uri="https://host/page", adapter="web", finding=None)
    assert (failed.error_class, failed.error_code) == (ErrorClass.PERMANENT, "stage_failed")
    assert failed.message == "ZeroDivisionError: oops"


class Panic(BaseException):
    """What a Rust library raises when it panics is no Exception."""


STRAY_ERRORS = {
    "usage": (UsageError("no such account", hint="log in"), "source_failed", "no such account"),
    "machine": (MachineError("too many open files"), "source_failed", "too many open files"),
    "panic": (Panic("index out of bounds"), "stage_failed", "Panic: index out of bounds"),
    "exit": (SystemExit("goodbye"), "stage_failed", "SystemExit: goodbye"),
    "cancelled": (asyncio.CancelledError(), "source_failed", "cancelled"),
    "stop iteration": (StopIteration(), "stage_failed", "StopIteration"),
}


@pytest.mark.parametrize("name", STRAY_ERRORS)
async def test_nothing_that_an_adapter_raises_is_more_than_one_failure(
    tmp_path: Path, pool: StagePool, name: str
) -> None:
    error, code, words = STRAY_ERRORS[name]
    world = AttemptWorld(tmp_path, pool, readers={"web": FaultySource(error)})
    failed = await asyncio.wait_for(world.failed("page", uri="https://h/page", adapter="web", finding=None), 60)
    assert (failed.stage, failed.error_class, failed.error_code) == (Stage.FETCH, ErrorClass.PERMANENT, code)
    assert words in failed.message


async def test_pushed_content_that_is_not_what_the_request_says_is_refused(world: AttemptWorld) -> None:
    (large,) = world.artifacts.put([b"x" * 20_000])
    lie = ArtifactRef(sha256=large.sha256, size_bytes=1)
    lied = await world.failed("x", uri="push:x", finding=None, content_ref=lie)
    assert (lied.stage, lied.error_code) == (Stage.FETCH, "content_damaged")
    assert "not the 1 bytes" in lied.message
    (small,) = world.artifacts.put([b"pushed words"])
    world.harm(small)
    damaged = await world.failed("x", uri="push:x", finding=None, content_ref=small)
    assert (damaged.error_code, damaged.hint) == ("content_damaged", "push the document again")
    world.artifacts.put([b"pushed words"])
    assert (await world.produced("x", uri="push:x", finding=None, content_ref=small)).chunk_count == 1


async def test_reindexing_a_version_whose_chunks_are_damaged_fails_for_good(world: AttemptWorld) -> None:
    world.write("a.txt", "some words")
    live = completed(await world.produced("a.txt"))
    assert live.chunks is not None
    world.harm(live.chunks)
    failed = await world.failed("a.txt", live=live, force=True, **REINDEX)
    assert (failed.stage, failed.error_class) == (Stage.EMBED, ErrorClass.PERMANENT)
    assert failed.error_code == "artifact_damaged"
    assert "--force" in str(failed.hint)


async def test_an_unknown_adapter_and_missing_content(world: AttemptWorld) -> None:
    unknown = await world.failed("x", uri="gopher://x", adapter="gopher", finding=None)
    assert unknown.error_code == "unknown_adapter"
    missing = ArtifactRef(sha256="ab" * 32, size_bytes=3)
    lost = await world.failed("x", uri="push:x", finding=None, content_ref=missing)
    assert lost.error_code == "content_missing"


async def test_too_much_content_is_refused_however_it_comes(tmp_path: Path, pool: StagePool) -> None:
    files = AttemptWorld(tmp_path, pool)
    files.write("large.txt", "x" * 10_001)
    files.write("fitting.txt", "x" * 10_000)
    assert (await files.failed("large.txt")).error_code == "too_large"
    assert (await files.produced("fitting.txt")).chunk_count > 0
    pushed = ArtifactRef(sha256="ab" * 32, size_bytes=10_001)
    assert (await files.failed("x", uri="push:x", finding=None, content_ref=pushed)).error_code == "too_large"
    assert files.calls == (1, 1)


async def test_what_has_no_parser_costs_no_trip_to_the_pool(world: AttemptWorld) -> None:
    world.write("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    failed = await world.failed("picture.png")
    assert (failed.stage, failed.error_code) == (Stage.PARSE, "unsupported_media_type")
    assert "OCR" in failed.message
    assert [report.stage for report in failed.stages] == [Stage.FETCH]
    assert world.calls == (0, 0)


async def test_reindexing_what_is_not_live(world: AttemptWorld) -> None:
    world.write("a.txt", "x")
    failed = await world.failed("a.txt", **REINDEX)
    assert (failed.stage, failed.error_code) == (Stage.EMBED, "no_live_version")


async def test_a_document_that_kills_its_process_is_poison_and_counts_as_parsed(world: AttemptWorld) -> None:
    world.write("killer.txt", "!kill")
    failed = await world.failed("killer.txt")
    assert (failed.stage, failed.error_class) == (Stage.PARSE, ErrorClass.POISON)
    assert failed.error_code == "pool_process_died"
    assert failed.hint == FAILURES["pool_process_died"].hint
    assert [report.stage for report in failed.stages] == [Stage.FETCH]
    assert world.calls == (1, 0)


async def test_a_failed_update_leaves_the_live_version_alone(world: AttemptWorld) -> None:
    world.write("a.txt", "good words")
    live = completed(await world.produced("a.txt"))
    world.write("a.txt", "!divide")
    failed = await world.failed("a.txt", live=live)
    assert failed.error_code == "parser_failed"
    assert live.text is not None
    assert world.artifacts.get(live.text)


async def test_a_full_disk_is_not_the_document_s_fault(world: AttemptWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(blobs: Sequence[bytes]) -> list[ArtifactRef]:
        raise DiskFull(op="put", subject=str(len(blobs)))

    world.write("a.txt", "some words")
    monkeypatch.setattr(world.artifacts, "put", full)
    with pytest.raises(DiskFull):
        await world.outcome("a.txt")


async def test_closing_cancels_what_is_in_work(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(processes=1))
    for number in range(4):
        world.write(f"{number}.txt", "!hang")
    running = [asyncio.create_task(world.outcome(f"{number}.txt")) for number in range(4)]
    await asyncio.sleep(0)
    await world.attempts.close()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 4


async def test_documents_wait_their_turn_while_bytes_are_short() -> None:
    budget = ByteBudget(100)
    order: list[str] = []
    let_go = asyncio.Event()

    async def hold(name: str, size_bytes: int) -> None:
        async with budget.holding(size_bytes):
            order.append(name)
            await let_go.wait()

    holders = [
        asyncio.create_task(hold(name, size)) for name, size in [("60", 60), ("40", 40), ("1", 1), ("huge", 999)]
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["60", "40"]
    let_go.set()
    await asyncio.gather(*holders)
    assert order == ["60", "40", "1", "huge"]


async def test_one_who_is_cancelled_while_waiting_holds_nothing() -> None:
    budget = ByteBudget(100)
    async with budget.holding(100):
        waiting = asyncio.create_task(contextlib.AsyncExitStack().enter_async_context(budget.holding(50)))
        await asyncio.sleep(0)
        waiting.cancel()
    async with budget.holding(100):
        pass
