"""How a runner keeps a view up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from projections.fold.follower import Follower, Joining, ViewAhead
from projections.fold.panics import Panicked
from projections.fold.progress import ProjectionStatus
from projections.fold.runner import Runner
from projections.fold.view import GenerationGone, PositionConflict
from schemas.errors import FatalError, TransientError
from schemas.positions import Position
from streams.documents.evolve import SequenceHole
from streams.log import Batch, Recorded
from streams.logs.memory import MemoryLog
from tests.samples.histories import NOON, Histories, drafts_of

WAIT_S = 20.0
"""Far longer than anything here takes: only a test that fails waits so long."""


class Kinds:
    """A projection that needs answers only."""

    name = "kinds"
    version = 1
    topics: Sequence[str] = ("documents",)

    def changes(self, recorded: Recorded) -> Sequence[str]:
        kind = type(recorded.event).__name__
        return () if kind in {"DocumentQueued", "DocumentStarted"} else (kind,)


class ListView:
    """A view that keeps what was applied, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.stored = Position()

    def position(self) -> Position:
        return self.stored

    def apply(self, changes: Sequence[str], expected: Position, at: Position) -> None:
        if expected != self.stored:
            raise PositionConflict(op="apply")
        self.stored = at
        if changes:
            self.batches.append(tuple(changes))

    def scan(self) -> Iterator[str]:
        for batch in self.batches:
            yield from batch


class FailingView(ListView):
    """A view whose next applies raise."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__()
        self.errors = list(errors)
        self.has_failed = Event()

    def apply(self, changes: Sequence[str], expected: Position, at: Position) -> None:
        if self.errors:
            self.has_failed.set()
            raise self.errors.pop(0)
        super().apply(changes, expected, at)


class SetBackView(ListView):
    """A view that tells when it was applied to twice."""

    def __init__(self) -> None:
        super().__init__()
        self.is_applied_again = Event()

    def apply(self, changes: Sequence[str], expected: Position, at: Position) -> None:
        super().apply(changes, expected, at)
        if len(self.batches) > 1:
            self.is_applied_again.set()


class UnreadableLog(MemoryLog):
    """A log with a record that this release does not know."""

    def read(self, *_: Any, **__: Any) -> Iterator[Batch]:
        raise FatalError("schema 99 is not known", op="decode")


class NoticedLog(MemoryLog):
    """A log that knows when its growth was noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_noticed = Event()

    def wait_beyond(self, *args: Any, **kwargs: Any) -> bool:
        has_grown = super().wait_beyond(*args, **kwargs)
        if has_grown:
            self.is_noticed.set()
        return has_grown


class SlowLog(MemoryLog):
    """A log that gives two events, and the rest when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_half_way, self.goes_on = Event(), Event()

    def read(self, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        for batch in super().read(*args, **kwargs):
            (tp,) = batch.next_position
            halves = batch.recorded[:2], batch.recorded[2:]
            yield Batch(halves[0], Position({tp: halves[0][-1].offset + 1}))
            self.is_half_way.set()
            assert self.goes_on.wait(WAIT_S)
            yield Batch(halves[1], batch.next_position)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def made() -> Histories:
    return Histories()


@pytest.fixture
def start() -> Iterator[Callable[..., Runner[str]]]:
    """Start a runner that is stopped when the test ends."""
    runners: list[Runner[str]] = []

    def started(log: MemoryLog, view: ListView, **options: Any) -> Runner[str]:
        runner = Runner(log, Kinds(), view, **{"clock": utc_now, **options})
        runners.append(runner)
        runner.start()
        return runner

    yield started
    for runner in runners:
        runner.stop()


def append(log: MemoryLog, made: Histories) -> Position:
    """Write what `made` has beyond the log's end."""
    seen = log.end(log.partitions("documents"))
    new = [r for r in made.of("documents") if r.offset >= sum(seen.values())]
    return log.append(None, drafts_of(new))


def until_stopped(runner: Runner[str]) -> ProjectionStatus:
    with pytest.raises(FatalError):
        runner.wait_for(Position.parse("documents:0=1000000"), WAIT_S)
    return runner.status()


def test_catch_up_applies_everything_in_order(log: MemoryLog, made: Histories) -> None:
    for n in range(5):
        made.ingested(f"folder:docs/{n}.md")
        made.skipped(made.queued(f"folder:docs/{n}.md"))
    end = append(log, made)
    view = ListView()
    assert Follower(log, Kinds(), view).catch_up() == end
    assert list(view.scan()) == ["DocumentCompleted", "DocumentSkipped"] * 5
    assert view.position() == end


def test_catch_up_goes_on_where_the_view_stands(log: MemoryLog, made: Histories) -> None:
    made.ingested("folder:docs/1.md")
    append(log, made)
    view = ListView()
    Follower(log, Kinds(), view).catch_up()
    made.ingested("folder:docs/2.md")
    append(log, made)
    Follower(log, Kinds(), view).catch_up()
    assert view.batches == [("DocumentCompleted",), ("DocumentCompleted",)]


def test_events_it_does_not_need_move_the_position(log: MemoryLog, made: Histories) -> None:
    made.started(made.queued())
    end = append(log, made)
    view = ListView()
    Follower(log, Kinds(), view).catch_up()
    assert (view.position(), view.batches) == (end, [])


@pytest.mark.parametrize("max_changes", [1, 2, 3, 7, 100])
def test_batches_hold_at_most_so_many_changes(made: Histories, max_changes: int) -> None:
    for n in range(10):
        made.ingested(f"folder:docs/{n}.md")
    log = MemoryLog(shuffle_seed=max_changes)
    append(log, made)
    view = ListView()
    Follower(log, Kinds(), view, joining=Joining(max_changes=max_changes)).catch_up()
    assert [len(batch) for batch in view.batches] == [max_changes] * (10 // max_changes) + (
        [10 % max_changes] if 10 % max_changes else []
    )


def test_one_that_reads_a_long_log_tells_how_far_it_is(made: Histories, start: Callable[..., Runner[str]]) -> None:
    log, view = SlowLog(), ListView()
    made.started(made.queued("folder:docs/1.md"))
    made.ingested("folder:docs/2.md")
    end = append(log, made)
    runner = start(log, view)
    assert log.is_half_way.wait(WAIT_S)
    assert runner.wait_for(Position.parse("documents:0=2"), WAIT_S)
    assert runner.status().position == Position.parse("documents:0=2")
    log.goes_on.set()
    assert runner.wait_for(end, WAIT_S)


def test_a_running_runner_follows_what_is_appended(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]]
) -> None:
    view = ListView()
    runner = start(log, view)
    for n in range(3):
        made.ingested(f"folder:docs/{n}.md")
        assert runner.wait_for(append(log, made), WAIT_S)
        assert len(list(view.scan())) == n + 1
    status = runner.status()
    assert (status.position, status.lag_events, status.lag_s) == (status.head, 0, 0.0)
    assert (status.error, status.is_stopped) == (None, False)


def test_waiting_for_other_topics_is_done_at_once(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    assert start(log, ListView()).wait_for(Position.parse("jobs:0=5,requests:0=9"), WAIT_S)


def test_waiting_for_what_does_not_come_ends(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    assert not start(log, ListView()).wait_for(Position.parse("documents:0=1"), 0.01)


def test_events_gather_until_somebody_waits(made: Histories, start: Callable[..., Runner[str]]) -> None:
    log, view = NoticedLog(), ListView()
    runner = start(log, view, joining=Joining(linger_s=3_600))
    made.ingested("folder:docs/1.md")
    append(log, made)
    assert log.is_noticed.wait(WAIT_S)
    made.ingested("folder:docs/2.md")
    end = append(log, made)
    assert view.batches == []
    assert runner.wait_for(end, WAIT_S)
    assert view.batches == [("DocumentCompleted",) * 2]


def test_events_gather_for_as_long_as_they_may(log: MemoryLog, made: Histories) -> None:
    made.ingested("folder:docs/1.md")
    append(log, made)
    seconds = iter(range(100))
    view = ListView()
    empty_seconds: list[float] = []

    def monotonic() -> float:
        now = float(next(seconds))
        if not view.batches:
            empty_seconds.append(now)
        return now

    applied = Event()
    joining = Joining(linger_s=2.0)
    runner = Runner(log, Kinds(), view, joining=joining, clock=utc_now, monotonic=monotonic, after_round=applied.set)
    runner.start()
    assert applied.wait(WAIT_S)
    runner.stop()
    assert view.batches == [("DocumentCompleted",)]
    assert empty_seconds[-1] - empty_seconds[0] >= 2.0


def test_a_position_that_needs_no_change_is_stored_now_and_then(log: MemoryLog, made: Histories) -> None:
    now = [100.0]
    view = ListView()
    joining = Joining(store_every_s=5.0, store_every_events=3)
    follower = Follower(log, Kinds(), view, joining=joining, monotonic=lambda: now[0])
    follower.begin()
    made.queued("folder:docs/1.md")
    end = append(log, made)
    follower.read_on()
    assert not follower.is_due, "nothing needs applying"
    assert follower.reached == end
    assert view.position() == Position()
    now[0] += 5.0
    assert follower.is_due
    follower.apply()
    assert view.position() == end
    for n in range(3):
        made.queued(f"folder:docs/{n}.md")
    end = append(log, made)
    follower.read_on()
    assert follower.is_due
    follower.apply()
    assert view.position() == end


def test_when_another_writer_moved_the_view_it_goes_on_from_there(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]]
) -> None:
    view = ListView()
    runner = start(log, view)
    made.ingested("folder:docs/1.md")
    assert runner.wait_for(append(log, made), WAIT_S)
    made.queued("folder:docs/2.md")
    view.stored = append(log, made)  # the other one passed it
    made.ingested("folder:docs/3.md")
    assert runner.wait_for(append(log, made), WAIT_S)
    assert view.batches == [("DocumentCompleted",)] * 2
    assert runner.status().error is None


def test_a_view_that_is_set_back_while_nothing_comes_is_brought_to_the_head_again(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.fold.runner.RECHECK_S", 0.01)
    view = SetBackView()
    runner = start(log, view)
    made.ingested("folder:docs/1.md")
    end = append(log, made)
    assert runner.wait_for(end, WAIT_S)
    view.stored = Position()
    assert view.is_applied_again.wait(WAIT_S)
    assert view.position() == end
    assert runner.status().error is None


def test_a_view_that_cannot_be_written_for_now_is_tried_again(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.fold.runner.RETRY_S", 0.01)
    view = FailingView(TransientError("the server is starting"), TransientError("the server is starting"))
    runner = start(log, view)
    made.ingested()
    assert runner.wait_for(append(log, made), WAIT_S)
    assert view.batches == [("DocumentCompleted",)]
    assert view.errors == []


def test_while_it_tries_again_its_status_says_why(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]]
) -> None:
    error = TransientError("the server is starting")
    view = FailingView(*[error] * 3)
    runner = start(log, view)
    made.ingested()
    end = append(log, made)
    assert view.has_failed.wait(WAIT_S)
    assert not runner.wait_for(end, 0.05)
    status = runner.status()
    assert (status.error, status.is_stopped, status.lag_events) == (error, False, 3)


@pytest.mark.parametrize("error", [SequenceHole("a hole"), KeyError("a mistake of ours"), GenerationGone("begun anew")])
def test_any_other_error_stops_it_and_stays_visible(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]], error: Exception
) -> None:
    view = FailingView(error)
    runner = start(log, view)
    made.ingested()
    end = append(log, made)
    with pytest.raises(type(error)):
        runner.wait_for(end, WAIT_S)
    status = runner.status()
    assert (status.error, status.is_stopped, status.position) == (error, True, Position())


def test_the_panic_of_a_library_stops_it_with_an_error_that_says_what_to_do(
    log: MemoryLog, made: Histories, start: Callable[..., Runner[str]]
) -> None:
    class PanicException(BaseException):
        """As pyo3 calls what it makes of a panic."""

    told: list[Exception] = []
    runner = start(log, FailingView(PanicException("the len is 1 but the index is 1")), on_failure=told.append)
    made.ingested()
    append(log, made)
    status = until_stopped(runner)
    assert isinstance(status.error, Panicked)
    assert (status.is_stopped, status.error.hint, told) == (True, "refold rebuild kinds", [status.error])
    assert "the len is 1" in str(status.error)


def test_an_event_it_cannot_read_stops_it(made: Histories, start: Callable[..., Runner[str]]) -> None:
    log = UnreadableLog()
    made.ingested()
    append(log, made)
    status = until_stopped(start(log, ListView()))
    assert "schema 99" in str(status.error)
    assert status.lag_events == 3


def test_a_view_beyond_the_end_of_the_log_stops_it(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    view = ListView()
    view.stored = Position.parse("documents:0=12")
    status = until_stopped(start(log, view))
    assert isinstance(status.error, ViewAhead)
    assert "backup" in str(status.error.hint)
    assert "refold rebuild all" in str(status.error.hint)
    with pytest.raises(ViewAhead):
        Follower(log, Kinds(), view).catch_up()


def test_stop_ends_the_lingering_and_applies_what_gathered(made: Histories) -> None:
    log, view = NoticedLog(), ListView()
    runner = Runner(log, Kinds(), view, joining=Joining(linger_s=3_600), clock=utc_now)
    made.ingested()
    end = append(log, made)
    runner.start()
    assert log.is_noticed.wait(WAIT_S)
    assert view.batches == []
    runner.stop()
    runner.stop()
    assert view.position() == end
    assert runner.status().is_stopped
    assert not runner.wait_for(end.joined(Position.parse("documents:0=99")), WAIT_S), "it is said at once"


def test_a_runner_starts_once(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    runner = start(log, ListView())
    with pytest.raises(RuntimeError):
        runner.start()


def test_before_it_starts_its_status_is_the_views(log: MemoryLog, made: Histories) -> None:
    made.ingested()
    append(log, made)
    view = ListView()
    view.stored = Position.parse("documents:0=1")
    status = Runner(log, Kinds(), view, clock=utc_now).status()
    assert (status.position, status.lag_events, status.heartbeat_at) == (view.stored, 2, None)


def test_lag_is_the_time_since_it_was_at_the_head(log: MemoryLog, made: Histories) -> None:
    clock = Clock()
    made.ingested("folder:docs/1.md")
    end = append(log, made)
    runner = Runner(log, Kinds(), ListView(), clock=clock)
    clock.now = NOON + timedelta(minutes=10)
    runner.start()
    assert runner.wait_for(end, WAIT_S)
    runner.stop()
    assert runner.status().lag_s == 0.0
    clock.now += timedelta(seconds=3)
    assert runner.status().lag_s == 0.0
    made.ingested("folder:docs/2.md")
    append(log, made)
    status = runner.status()
    assert (status.lag_events, status.lag_s) == (3, 3.0)
    assert status.heartbeat_at == NOON + timedelta(minutes=10)


def test_after_every_turn_somebody_may_do_something(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    turns = Event()
    start(log, ListView(), after_round=turns.set)
    assert turns.wait(WAIT_S)


def test_what_is_done_after_a_turn_may_stop_it(log: MemoryLog, start: Callable[..., Runner[str]]) -> None:
    def fail() -> None:
        raise FatalError("the disk is full")

    assert "disk is full" in str(until_stopped(start(log, ListView(), after_round=fail)).error)


class HangingView(ListView):
    """A view whose next apply does not come back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.let_go = Event(), Event()

    def apply(self, changes: Sequence[str], expected: Position, at: Position) -> None:
        self.hangs.set()
        self.let_go.wait(WAIT_S)
        super().apply(changes, expected, at)


def test_a_runner_that_hangs_is_silent_and_one_that_goes_round_or_has_ended_is_not() -> None:
    now_s, log, view = [0.0], MemoryLog(), HangingView()
    joining = Joining(linger_s=0.0)
    runner = Runner(log, Kinds(), view, joining=joining, clock=lambda: NOON, monotonic=lambda: now_s[0])
    made = Histories()
    made.ingested()
    log.append(None, drafts_of(made.recorded))
    runner.start()
    assert view.hangs.wait(WAIT_S)
    now_s[0] = 75.0
    assert runner.progress.silent_s == 75.0

    view.let_go.set()
    assert runner.wait_for(log.end(log.partitions("documents")), WAIT_S)
    assert runner.progress.silent_s == 0.0
    runner.stop()
    now_s[0] = 500.0
    assert runner.progress.silent_s == 0.0
