"""What begins while a pipeline is being closed ends with it, or is refused: nothing goes on in a folder let go of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import refold
from refold.embedded.engine import EmbeddedEngine
from refold.embedded.work import EmbeddedWork
from refold.engine.planning_thread import PlanningThread
from schemas.errors import UsageError
from streams.planning.job import Job
from streams.source import Source


def _engine_of(pipeline: refold.Pipeline) -> EmbeddedEngine:
    engine = pipeline._lifetime.engine
    assert isinstance(engine, EmbeddedEngine)
    return engine


async def test_a_closed_engine_begins_no_work(tmp_path: Path) -> None:
    async with refold.open(tmp_path / "data") as pipeline:
        engine = _engine_of(pipeline)
    with pytest.raises(UsageError, match="closed meanwhile"):
        engine.work()


async def test_work_that_is_just_beginning_is_ended_by_closing(tmp_path: Path) -> None:
    pipeline = refold.open(tmp_path / "data")
    begun, goes_on, made = threading.Event(), threading.Event(), list[Any]()
    async with pipeline:
        engine = _engine_of(pipeline)
        make_work = engine.parts.make_work

        def made_slowly(of: EmbeddedEngine) -> EmbeddedWork:
            begun.set()
            assert goes_on.wait(60)
            made.append(make_work(of))
            return made[0]  # type: ignore[no-any-return]

        engine.parts = replace(engine.parts, make_work=made_slowly)
        working = asyncio.create_task(asyncio.to_thread(engine.work))
        assert await asyncio.to_thread(begun.wait, 60)
        closing = asyncio.create_task(pipeline.__aexit__(None, None, None))
        assert await asyncio.to_thread(engine._has_ended.wait, 60)
        goes_on.set()
        await asyncio.gather(working, closing)
    assert made[0]._thread._stopped.is_set()
    assert not [thread.name for thread in threading.enumerate() if thread.name in {"slot", "slot-watch"}]


@pytest.mark.parametrize("taken", ["engine.work", "planning"])
async def test_a_stream_that_begins_while_its_pipeline_is_closed_says_so(tmp_path: Path, taken: str) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "a.md").write_text("# Whales\n\nThey sing.\n")
    pipeline = refold.open(tmp_path / "data")
    begun, closed = threading.Event(), threading.Event()
    async with pipeline:
        engine = _engine_of(pipeline)
        target: Any = engine if taken == "engine.work" else engine.work()
        name = "work" if taken == "engine.work" else "plan"
        at_once = getattr(target, name)

        def late(*arguments: Any) -> Any:
            begun.set()
            assert closed.wait(60)
            return at_once(*arguments)

        setattr(target, name, late)
        running = asyncio.create_task(pipeline.run([source]))
        assert await asyncio.to_thread(begun.wait, 60)
    closed.set()
    with pytest.raises(UsageError, match="closed meanwhile"):
        await running


async def test_a_stream_that_is_cancelled_while_its_job_is_planned_leaves_the_planning(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    begun, left, done = threading.Event(), threading.Event(), threading.Event()
    plannings: list[PlanningThread] = []
    async with refold.open(tmp_path / "data") as pipeline:
        work: Any = _engine_of(pipeline).work()
        plan = work.plan

        def late(job: Job, sources: Sequence[Source]) -> PlanningThread:
            planning: PlanningThread = plan(job, sources)
            plannings.append(planning)
            begun.set()
            assert left.wait(60)
            leave = planning.leave

            def leave_and_say() -> None:
                leave()
                done.set()

            planning.leave = leave_and_say  # type: ignore[method-assign]
            return planning

        work.plan = late
        running = asyncio.create_task(pipeline.run([source]))
        assert await asyncio.to_thread(begun.wait, 60)
        running.cancel()
        await asyncio.wait({running})
        left.set()
        assert await asyncio.to_thread(done.wait, 10)
    assert plannings[0].is_left
