"""Holds on indexes: they last as long as they are needed, or whoever holds them is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from projections.sql.leases import LEASES
from refold.cluster.holds import HoldLost, Holds, IndexHeld
from tests.servers.sql_views import DATABASES

PATIENCE_S = 60.0


@pytest.fixture(params=sorted(DATABASES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = DATABASES[request.param](tmp_path)
    yield engine
    engine.dispose()


def until_us(engine: Engine, index: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(LEASES.c.until_us).where(LEASES.c.name == f"hold:{index}")).scalar_one())


def let_run_out(engine: Engine, index: str) -> None:
    """As if the holder had stood still: a laptop's lid, SIGSTOP, a machine that swaps."""
    with engine.begin() as connection:
        connection.execute(LEASES.update().where(LEASES.c.name == f"hold:{index}").values(until_us=1))


def test_a_hold_is_told_to_projectors_until_it_is_given_up(engine: Engine) -> None:
    mine, theirs = Holds(engine), Holds(engine)
    with mine.held(["vector"]):
        with pytest.raises(IndexHeld, match="vector"):
            theirs.refuse("vector")
        theirs.refuse("keyword")
        with pytest.raises(IndexHeld, match="somebody else"), theirs.held(["vector"]):
            pytest.fail("two hold it")
    theirs.refuse("vector")


@pytest.mark.parametrize("lost", ["vector", "keyword"])
def test_a_hold_that_ran_out_is_told_at_the_end_of_what_needed_it(engine: Engine, lost: str) -> None:
    holds = Holds(engine)

    def compare() -> str:
        with holds.held(["vector", "keyword"]):
            let_run_out(engine, lost)
            Holds(engine).refuse(lost)  # the projector writes again
            return "consistent"

    with pytest.raises(HoldLost) as raised:
        compare()
    assert raised.value.hint
    for index in ("vector", "keyword"):
        holds.refuse(index)  # nothing is held up by what was lost


def test_a_hold_that_somebody_else_has_by_now_is_told_and_left_to_them(engine: Engine) -> None:
    mine, theirs = Holds(engine), Holds(engine)

    def compare() -> None:
        with mine.held(["vector"]):
            let_run_out(engine, "vector")
            others.__enter__()

    others = theirs.held(["vector"])
    with pytest.raises(HoldLost):
        compare()
    with pytest.raises(IndexHeld):
        mine.refuse("vector")
    others.__exit__(None, None, None)


def test_a_hold_can_be_asked_for_while_it_is_needed(engine: Engine) -> None:
    def compare() -> None:
        with Holds(engine).held(["vector"]) as hold:
            hold.check()
            let_run_out(engine, "vector")
            with pytest.raises(HoldLost):
                hold.check()

    with pytest.raises(HoldLost):
        compare()


def test_what_goes_wrong_in_the_block_is_told_as_it_is(engine: Engine) -> None:
    def compare() -> None:
        with Holds(engine).held(["vector"]):
            let_run_out(engine, "vector")
            raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        compare()


def test_a_hold_is_renewed_for_as_long_as_it_is_needed(engine: Engine) -> None:
    pause = threading.Event()
    with Holds(engine, hold_s=6.0).held(["vector", "keyword"]):
        for index in ("vector", "keyword"):
            taken_us, deadline_s = until_us(engine, index), time.monotonic() + PATIENCE_S
            while until_us(engine, index) == taken_us:
                assert time.monotonic() < deadline_s, "it was not renewed"
                pause.wait(0.02)
