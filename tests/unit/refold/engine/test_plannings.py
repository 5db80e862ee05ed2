"""Planning threads are kept while they are under way, and a job whose planning was left is planned again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from refold.commands.ingest import job_of
from refold.embedded.wiring import open_engine
from refold.engine.data_folder import DataFolder, Ownership
from refold.engine.engine import Engine
from refold.engine.planning_thread import PlanningThread
from refold.engine.planning_threads import PlanningThreads
from refold.settings.settings import load_settings
from schemas.ids import random_id
from streams.planning.publisher import Publisher
from streams.sources.local.folder import FolderAdapter, FolderOptions
from streams.sources.table import ADAPTERS


@pytest.fixture
def engine(tmp_path: Path):  # noqa: ANN201 - a generator of pytest
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("whales")
    folder = DataFolder(tmp_path / "data")
    with Ownership(folder) as ownership:
        ownership.take(1)
        with open_engine(load_settings({"data": folder.path}), folder=folder) as opened:
            yield opened


def plannings(engine: Engine, *, opened: threading.Event | None = None) -> PlanningThreads:
    """Threads that go on once `opened` is set: they ask whether their job was cancelled before they publish."""
    parts = engine.parts
    publisher = Publisher(parts.log, pipeline_id=parts.pipeline_id, now=parts.clock, scratch=parts.location.scratch)
    return PlanningThreads(
        engine, publisher=publisher, is_cancelled=lambda _: opened is not None and not opened.wait(60)
    )


def plan(kept: PlanningThreads, engine: Engine, tmp_path: Path, job_id: str | None = None) -> PlanningThread:
    arguments = {"sources": [str(tmp_path / "docs")], "job_id": job_id or random_id()}
    asked = job_of(engine, arguments)
    return kept.plan(asked.job, asked.sources)


def test_a_planning_that_is_over_is_not_kept(engine: Engine, tmp_path: Path) -> None:
    kept = plannings(engine)
    for _ in range(5):
        plan(kept, engine, tmp_path)._thread.join()
    assert len(kept._threads) == 1


def test_a_source_is_opened_once_for_its_job_and_its_planning(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(source: str, options: FolderOptions | None) -> FolderAdapter:
        opened.append(source)
        return FolderAdapter(source, options)

    for scheme in ("", "file"):
        monkeypatch.setitem(ADAPTERS, scheme, counted)
    planning = plan(plannings(engine), engine, tmp_path)
    planning._thread.join()
    assert planning.published is not None
    assert planning.published.requested == 1
    assert opened == [str(tmp_path / "docs")]


def test_a_planning_under_way_is_the_same_for_everybody(engine: Engine, tmp_path: Path) -> None:
    opened = threading.Event()
    kept, job_id = plannings(engine, opened=opened), random_id()
    first = plan(kept, engine, tmp_path, job_id)
    assert plan(kept, engine, tmp_path, job_id) is first
    opened.set()
    first._thread.join()
    assert first.error is None


def test_a_planning_goes_on_until_all_who_follow_it_have_left(engine: Engine, tmp_path: Path) -> None:
    opened = threading.Event()
    kept, job_id = plannings(engine, opened=opened), random_id()
    planning = plan(kept, engine, tmp_path, job_id)
    assert plan(kept, engine, tmp_path, job_id) is planning
    planning.leave()
    assert not planning.is_left
    planning.leave()
    assert planning.is_left
    opened.set()
    planning._thread.join()


def test_a_job_whose_planning_was_left_is_planned_to_its_end_when_it_is_asked_for_again(
    engine: Engine, tmp_path: Path
) -> None:
    opened = threading.Event()
    kept, job_id = plannings(engine, opened=opened), random_id()
    left = plan(kept, engine, tmp_path, job_id)
    left.leave()
    opened.set()
    again = plan(kept, engine, tmp_path, job_id)
    again._thread.join()
    engine.wait_for(engine.end(), ["jobs"])
    row = engine.parts.views.jobs.job(again.job.job_id)
    assert again is not left
    assert row is not None
    assert row.plan is not None
