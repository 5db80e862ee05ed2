"""A reader that stands while the log goes on is told from one that moves or has nothing to do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.cluster.watchdog import PATIENCE_S, Sample, Watchdog
from schemas.positions import Position, TopicPartition
from tests.worlds.waiting import Clock

EVENTS = TopicPartition("documents", 0)
OTHERS = TopicPartition("documents", 1)


def sample(offset: int, head: int, *, name: str = "manifest", tp: TopicPartition = EVENTS) -> Sample:
    return Sample(name, Position({tp: offset}), Position({tp: head}))


HISTORIES: Sequence[tuple[str, list[tuple[float, int, int]], bool]] = [
    ("it moves, however far behind", [(0, 1, 900), (40, 2, 950), (80, 3, 990)], False),
    ("it stands and the head moves", [(0, 5, 9), (30, 5, 20), (60, 5, 30)], True),
    ("it stands and the head too, with events between them", [(0, 5, 9), (60, 5, 9)], True),
    ("it stands a second less than the patience", [(0, 5, 9), (59, 5, 30)], False),
    ("it was at the head for hours when events came", [(0, 9, 9), (7_200, 9, 12), (7_259, 9, 20)], False),
    ("and then stood for the whole patience", [(0, 9, 9), (7_200, 9, 12), (7_260, 9, 20)], True),
    ("it moved at last", [(0, 5, 9), (60, 5, 20), (65, 6, 20)], False),
    ("it was put back to zero and reads again", [(0, 5, 9), (50, 0, 9), (70, 0, 9)], False),
    ("it is beyond the head, as after a trim", [(0, 12, 9), (90, 12, 9)], False),
    ("nothing was ever written", [(0, 0, 0), (90, 0, 0)], False),
]


@pytest.mark.parametrize(("history", "is_stuck"), [case[1:] for case in HISTORIES], ids=[case[0] for case in HISTORIES])
def test_a_history_ends_stuck_or_not(history: list[tuple[float, int, int]], *, is_stuck: bool) -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    for at_s, offset, head in history:
        clock.now_s = 1_000.0 + at_s
        watchdog.look([sample(offset, head)])
    assert bool(watchdog.stuck()) == is_stuck


def test_a_reason_says_who_stands_where_for_how_long_and_how_far_the_log_goes_on() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    watchdog.look([sample(12, 13, name="slot 3", tp=TopicPartition("requests", 3))])
    clock.now_s += 65
    watchdog.look([sample(12, 40, name="slot 3", tp=TopicPartition("requests", 3))])
    assert watchdog.stuck() == ["slot 3 has stood at offset 12 of requests:3 for 65 s, and the log goes on to 40"]


def test_patience_runs_out_without_another_look() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    watchdog.look([sample(1, 2)])
    clock.now_s += PATIENCE_S
    assert len(watchdog.stuck()) == 1


def test_one_partition_that_stands_is_stuck_though_the_other_moves() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    for offset in range(3):
        position, head = Position({EVENTS: 7, OTHERS: offset}), Position({EVENTS: 9, OTHERS: 100})
        watchdog.look([Sample("vector", position, head)])
        clock.now_s += PATIENCE_S / 2
    assert [reason.partition(" for ")[0] for reason in watchdog.stuck()] == [
        "vector has stood at offset 7 of documents:0"
    ]


def test_a_reader_that_was_given_up_is_forgotten() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    watchdog.look([sample(1, 9)])
    clock.now_s += PATIENCE_S
    watchdog.look([])
    assert watchdog.stuck() == []
    watchdog.look([sample(1, 9)])  # it came back, with all its patience
    assert watchdog.stuck() == []


STEPS = st.lists(st.tuples(st.sampled_from([5.0, 20.0]), st.integers(0, 1), st.integers(0, 2)), max_size=30)


@given(STEPS)
def test_stuck_is_who_did_not_move_in_the_last_minute_with_events_ahead_all_the_time(
    steps: list[tuple[float, int, int]],
) -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    offset = head = 0
    seen: list[tuple[float, int, int]] = []
    for passed_s, read, written in steps:
        clock.now_s += passed_s
        head += written
        offset = min(offset + read, head)
        watchdog.look([sample(offset, head)])
        seen.append((clock.now_s, offset, head))
    standing = []
    for at_s, one, end in reversed(seen):
        if one != offset or one >= end:
            break
        standing.append(at_s)
    expected = bool(standing) and clock.now_s - standing[-1] >= PATIENCE_S
    assert bool(watchdog.stuck()) == expected
