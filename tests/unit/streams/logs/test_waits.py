"""Waiting for a log to grow: nothing that happens while the log is asked is slept through."""

from __future__ import annotations

from threading import Thread

import pytest

from streams.logs.waits import Waits

LONG_S = 60.0


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Waits that may not sleep."""

    def sleep(timeout_s: float) -> None:
        raise AssertionError(f"it sleeps for up to {timeout_s} s")

    waits = Waits()
    monkeypatch.setattr(waits._changed, "wait", sleep)
    return waits


def test_a_change_while_the_log_is_asked_is_not_slept_through(waits: Waits) -> None:
    asked: list[int] = []

    def is_so() -> bool:
        asked.append(1)
        if len(asked) == 1:
            waits.look()
        return len(asked) == 2

    assert waits.until(is_so, LONG_S)


def test_a_wake_while_the_log_is_asked_ends_the_wait(waits: Waits) -> None:
    def is_so() -> bool:
        waits.wake()
        return False

    assert not waits.until(is_so, LONG_S)


def test_what_another_process_changed_is_found_by_polling() -> None:
    answers = iter([False, False, True])
    assert Waits().until(lambda: next(answers), LONG_S, poll_s=0.001)


def test_a_wait_ends_with_its_time() -> None:
    assert not Waits().until(lambda: False, 0.0)


def test_each_waiter_is_told() -> None:
    waits, grown, seen = Waits(), [False], []
    waiters = [Thread(target=lambda: seen.append(waits.until(lambda: grown[0], LONG_S))) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    grown[0] = True
    waits.look()
    for waiter in waiters:
        waiter.join(LONG_S)
    assert seen == [True] * 3
