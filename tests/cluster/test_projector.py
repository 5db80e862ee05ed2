"""Projectors share projections by leases, and each keeps its own up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from projections.fold.runner import Runner
from projections.jobs.view import JobsProjection, JobsView
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_sqlite
from projections.sql.leases import LEASES, Leases
from projections.stage_results.view import StageResultsProjection, StageResultsView
from refold.cluster.projector.projector import Projector
from refold.cluster.projector.upkeep import Kept, WentOn
from refold.cluster.watchdog import PATIENCE_S as PATIENCE_OF_HEALTH_S
from schemas.errors import TransientError
from streams.logs.memory import MemoryLog
from tests.samples.histories import Histories, drafts_of

PATIENCE_S = 30.0
NAMES = {"manifest", "jobs", "stage_results"}


class Place:
    """A log, and views in SQLite that any projector can keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = MemoryLog()
        self.leases = Leases(open_sqlite(folder / "leases.sqlite"), duration_s=600.0)
        self.refused: set[str] = set()
        self.opens = threading.Event()
        self.opens.set()
        self.went_on: WentOn = lambda: None
        self.at_closing: list[dict[str, str]] = []

    def projector(self, holder: str) -> Projector:
        """A projector that was not turned yet."""
        makers = {"manifest": self._manifest, "jobs": self._jobs, "stage_results": self._stage_results}
        return Projector(self.leases, holder=holder, makers=makers, monotonic=lambda: self.now_s)

    now_s = 0.0

    def held(self) -> dict[str, str]:
        """Who keeps what."""
        return {name: holder for name, holder in self.leases.holders().items() if name in NAMES}

    def expire(self, holder: str) -> None:
        """Let the time of all leases of `holder` pass at once."""
        with open_sqlite(self.folder / "leases.sqlite").begin() as connection:
            connection.execute(LEASES.update().where(LEASES.c.holder == holder).values(until_us=1))

    def _manifest(self, went_on: WentOn) -> Kept:
        self._refuse("manifest")
        self.went_on = went_on
        assert self.opens.wait(PATIENCE_S)
        view = ManifestView(open_sqlite(self.folder / "manifest.sqlite"), log_id=self.log.log_id)

        def close() -> None:
            self.at_closing.append(self.held())
            view.close()

        runner = Runner(self.log, ManifestProjection(), view, clock=now, monotonic=lambda: self.now_s)
        return Kept(runner, close)

    def _jobs(self, _went_on: WentOn) -> Kept:
        view = JobsView(open_sqlite(self.folder / "jobs.sqlite"), log_id=self.log.log_id)
        return Kept(Runner(self.log, JobsProjection(), view, clock=now), view.close)

    def _stage_results(self, _went_on: WentOn) -> Kept:
        view = StageResultsView(open_sqlite(self.folder / "stages.sqlite"), log_id=self.log.log_id)
        return Kept(Runner(self.log, StageResultsProjection(), view, clock=now), view.close)

    def _refuse(self, name: str) -> None:
        if name in self.refused:
            raise TransientError(f"{name} is away", op="open")


def now() -> datetime:
    return datetime.now(UTC)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s
        pause.wait(0.01)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def projectors(place: Place) -> Iterator[tuple[Projector, Projector]]:
    first, second = place.projector("first"), place.projector("second")
    yield first, second
    first.leave()
    second.leave()


def test_one_alone_keeps_everything_up_to_date(place: Place, projectors: tuple[Projector, Projector]) -> None:
    first, _ = projectors
    first.turn()
    assert place.held() == dict.fromkeys(NAMES, "first")
    made = Histories()
    made.queued()
    place.log.append(None, drafts_of(made.recorded))
    wait_for(lambda: len(first.statuses()) == len(NAMES) and not any(one.lag_events for one in first.statuses()))
    assert first.not_ready() == []


def test_another_one_gets_its_share(place: Place, projectors: tuple[Projector, Projector]) -> None:
    first, second = projectors
    first.turn()
    second.turn()  # everything is taken, but from now on there are two
    first.turn()
    wait_for(lambda: len(place.held()) == 2)
    second.turn()
    assert sorted(place.held().values()) == ["first", "first", "second"]


def test_what_one_gives_up_the_other_takes_at_once(place: Place, projectors: tuple[Projector, Projector]) -> None:
    first, second = projectors
    first.turn()
    first.leave()
    second.turn()
    assert place.held() == dict.fromkeys(NAMES, "second")


def test_one_that_is_gone_is_missed_when_its_leases_have_run_out(
    place: Place, projectors: tuple[Projector, Projector]
) -> None:
    first, second = projectors
    first.turn()
    place.expire("first")
    second.turn()
    assert place.held() == dict.fromkeys(NAMES, "second")
    first.turn()  # it wakes up, sees that it has lost everything, and lets go
    assert first.statuses() == []


def test_a_projection_that_cannot_be_opened_is_told_and_tried_again(
    place: Place, projectors: tuple[Projector, Projector]
) -> None:
    first, _ = projectors
    place.refused.add("manifest")
    first.turn()
    wait_for(lambda: bool(first.not_ready()))
    assert "manifest is away" in first.not_ready()[0]
    place.refused.clear()
    first.turn()  # not at once
    assert first.not_ready()
    place.now_s = 60.0
    first.turn()
    wait_for(lambda: len(first.statuses()) == len(NAMES))
    assert first.not_ready() == []


def test_a_lease_is_given_up_after_its_view_was_let_go(place: Place, projectors: tuple[Projector, Projector]) -> None:
    first, second = projectors
    first.turn()
    wait_for(lambda: len(first.statuses()) == len(NAMES))
    first.leave()
    assert [held.get("manifest") for held in place.at_closing] == ["first"]
    second.turn()
    assert place.held() == dict.fromkeys(NAMES, "second")


def test_a_view_whose_opening_hangs_is_told_until_it_gets_on(
    place: Place, projectors: tuple[Projector, Projector]
) -> None:
    first, _ = projectors
    place.opens.clear()
    first.turn()
    wait_for(lambda: len(first.statuses()) == len(NAMES) - 1)
    for _ in range(40):
        place.now_s += 5.0
        first.turn()
    assert first.not_ready() == ["manifest: its view is being opened and has not got on for 200 s"]

    place.went_on()  # a rebuild that takes hours is in order
    assert first.not_ready() == []

    place.now_s += PATIENCE_OF_HEALTH_S
    first.turn()
    assert first.not_ready()
    place.opens.set()
    wait_for(lambda: len(first.statuses()) == len(NAMES))
    wait_for(lambda: not first.not_ready())


def test_a_projector_that_does_not_come_to_renew_its_leases_is_told(
    place: Place, projectors: tuple[Projector, Projector]
) -> None:
    """Its server hangs, say: whoever has an eye on it must not see it as it was before."""
    first, _ = projectors
    first.turn()
    place.now_s += place.leases.duration_s + 1
    assert "leases were not renewed for 601 s" in first.not_ready()
    first.turn()
    wait_for(lambda: not first.not_ready())
