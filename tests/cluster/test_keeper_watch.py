"""A command that waits for a projection tells when nobody keeps it."""

from __future__ import annotations

import pytest

from refold.cluster.client.keeper_watch import LOOK_EVERY_S, PATIENCE_S, KeeperWatch
from schemas.errors import UnreachableError


class Moment:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_projection_that_is_kept_is_waited_for_however_long_it_takes() -> None:
    clock = Moment()
    watch = KeeperWatch("vector", lambda: {"vector": "somebody"}, monotonic=clock)
    for _ in range(100):
        clock.now_s += PATIENCE_S
        watch.look()


def test_one_that_nobody_keeps_is_told_in_the_end() -> None:
    clock = Moment()
    watch = KeeperWatch("vector", lambda: {"keyword": "somebody"}, monotonic=clock)
    clock.now_s = PATIENCE_S - 1
    watch.look()
    clock.now_s = PATIENCE_S - 1 + LOOK_EVERY_S
    with pytest.raises(UnreachableError, match="no projector keeps vector"):
        watch.look()


def test_one_that_changes_hands_is_not_given_up() -> None:
    clock, keepers = Moment(), dict[str, str]()
    watch = KeeperWatch("vector", lambda: keepers, monotonic=clock)
    clock.now_s = PATIENCE_S - 1
    watch.look()
    keepers["vector"] = "another"
    clock.now_s += LOOK_EVERY_S
    watch.look()
    keepers.clear()
    clock.now_s += PATIENCE_S - 1
    watch.look()
