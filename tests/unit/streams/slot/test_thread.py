"""The thread of a slot: what it does when a database is away, when commits fail, and beside other slots."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from schemas.errors import TransientError
from schemas.events import DocumentReleased, DocumentStarted
from schemas.positions import Position, TopicPartition
from streams.log import Draft, EventLog, LogReplaced, SlotNumber, UnknownOutcome
from streams.logs.memory import MemoryLog
from streams.slot.attempt import Attempt, AttemptOutcome
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from tests.worlds.folded_states import FoldedStates
from tests.worlds.outcomes import PRODUCED
from tests.worlds.slot import SlotWorld, events_of, names_in_slot

DEADLINE_S = 60.0
"""Longer than anything here takes on a busy machine."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class CountedAttempts:
    """Attempts that end when they are let go, and know how many of a document were at work at once."""

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}
        self.begun = threading.Condition()
        self.uris: list[str] = []
        self.most_at_once = 0
        self.may_end = asyncio.Event()
        self._running: dict[str, int] = {}

    async def run(self, attempt: Attempt) -> AttemptOutcome:
        uri = attempt.request.uri
        with self.begun:
            self.uris.append(uri)
            self._running[uri] = self._running.get(uri, 0) + 1
            self.most_at_once = max(self.most_at_once, self._running[uri])
            self.begun.notify_all()
        try:
            await self.may_end.wait()
        finally:
            self._running[uri] -= 1
        return PRODUCED

    async def close(self) -> None:
        """Nothing is kept."""

    def wait_until_begun(self, is_enough: Callable[[list[str]], bool]) -> None:
        with self.begun:
            assert self.begun.wait_for(lambda: is_enough(self.uris), DEADLINE_S)


class AwayStates:
    """Document states whose database is away for the next question when a test says so."""

    def __init__(self, states: FoldedStates) -> None:
        self.lock = threading.Lock()
        self._states = states
        self._is_away = False
        self.was_asked = threading.Event()

    def go_away(self) -> None:
        self.was_asked.clear()
        self._is_away = True

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*args: object, **named: object) -> object:
            with self.lock:
                if self._is_away:
                    self._is_away = False
                    self.was_asked.set()
                    raise TransientError("the database is away")
                answer: object = getattr(self._states, name)(*args, **named)
                return answer

        return ask


class LosingLog:
    """A log whose next commits of a slot fail as they are told to."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.failures: list[Exception] = []
        self.is_replaced = False

    def end(self, partitions: Collection[TopicPartition]) -> Position:
        if self.is_replaced:
            raise LogReplaced("made anew")
        return self._log.end(partitions)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, slot: SlotNumber | None, drafts: Sequence[Draft]) -> Position:
        if slot is not None and self.failures:
            raise self.failures.pop()
        return self._log.append(slot, drafts)


def wait_until_told(log: EventLog, is_so: Callable[[], bool]) -> None:
    partitions = log.partitions("documents")
    for _ in range(int(DEADLINE_S)):
        position = log.end(partitions)
        if is_so():
            return
        log.wait_beyond(partitions, position, 1.0)
    raise AssertionError(events_of(log, "documents"))


def test_a_database_that_is_away_for_moments_is_no_crash_of_what_is_in_work(loop: asyncio.AbstractEventLoop) -> None:
    log, attempts = MemoryLog(), CountedAttempts()
    folded = FoldedStates(log)
    states = AwayStates(folded)
    thread = SlotThread(log=log, attempts=attempts, loop=loop, is_assigned=lambda: True)
    world = SlotWorld(log=log, states=states, begin=thread.begin)
    world.ask("slow")
    thread.start(world.slot)
    for n in range(6):
        attempts.wait_until_begun(lambda uris, n=n: uris.count("push:slow") > n)  # type: ignore[misc]
        with states.lock:
            folded.catch_up()
        states.go_away()
        world.ask(f"other-{n}")
        thread.wake()
        assert states.was_asked.wait(DEADLINE_S)
    attempts.wait_until_begun(lambda uris: uris.count("push:slow") > 6)
    loop.call_soon_threadsafe(attempts.may_end.set)
    wait_until_told(log, lambda: "Completed" in world.told("slow"))
    thread.stop()
    assert thread.error is None
    assert attempts.most_at_once == 1
    assert "Failed" not in world.told("slow")


@pytest.mark.parametrize("failure", [UnknownOutcome("lost"), TransientError("away")], ids=["unknown", "transient"])
def test_what_is_in_work_at_the_end_is_released_though_the_first_commit_fails(
    loop: asyncio.AbstractEventLoop, failure: Exception
) -> None:
    log, attempts = LosingLog(MemoryLog()), CountedAttempts()
    thread = SlotThread(log=log, attempts=attempts, loop=loop)  # type: ignore[arg-type]
    world = SlotWorld(log=log, begin=thread.begin)  # type: ignore[arg-type]
    world.ask("slow")
    world.ask("slower")
    thread.start(world.slot)
    attempts.wait_until_begun(lambda uris: len(uris) == 2)
    log.failures.append(failure)
    thread.stop(deadline_s=0.1)
    assert thread.error is None
    kinds = [type(event) for event in events_of(world.log, "documents")]
    assert kinds.count(DocumentStarted) == kinds.count(DocumentReleased) == 2


def test_a_slot_whose_log_was_made_anew_ends_and_says_so(loop: asyncio.AbstractEventLoop) -> None:
    log, told = LosingLog(MemoryLog()), threading.Event()
    thread = SlotThread(
        log=log,  # type: ignore[arg-type]
        attempts=CountedAttempts(),
        loop=loop,
        on_failure=lambda _: told.set(),
        is_assigned=lambda: True,
    )
    thread.start(SlotWorld(log=log, begin=thread.begin).slot)  # type: ignore[arg-type]
    log.is_replaced = True
    thread.wake()
    assert told.wait(DEADLINE_S)
    thread.stop()
    assert isinstance(thread.error, LogReplaced)


def test_a_suspect_gets_its_turn_while_another_slot_of_the_process_has_work(loop: asyncio.AbstractEventLoop) -> None:
    log = MemoryLog(2)
    states = FoldedStates(log)
    (suspect,), others = names_in_slot(0, 1), names_in_slot(1, 400)
    for run in ("dead-1", "dead-2"):  # two processes die of it
        dead = SlotWorld(log=log, states=states, run=run)
        if run == "dead-1":
            dead.ask(suspect)
        dead.slot.own()
        dead.work()
        states.catch_up()
    attempts, workload = CountedAttempts(), Workload(4)
    loop.call_soon_threadsafe(attempts.may_end.set)
    threads = []
    for number in (1, 0):
        thread = SlotThread(log=log, attempts=attempts, loop=loop, linger_s=0.001)
        world = SlotWorld(
            log=log, states=states, number=number, run="now", workload=workload, begin=thread.begin, wake=thread.wake
        )
        threads.append((thread, world))
    for name in others:
        threads[0][1].ask(name)
    for thread, world in threads:
        thread.start(world.slot)
    attempts.wait_until_begun(lambda uris: f"push:{suspect}" in uris)
    begun_before = attempts.uris.index(f"push:{suspect}")
    attempts.wait_until_begun(lambda uris: len(uris) == 1 + len(others))
    for thread, _ in threads:
        thread.stop()
    assert begun_before < len(others) / 2
