"""Taking a slot again: what was in work under an ownership that is over is neither a crash nor done twice at once."""

from __future__ import annotations

import pytest

from schemas.events import Action, JobPaused, Mode, ReleaseReason
from tests.worlds.slot import SlotWorld


@pytest.fixture(params=["the manifest lags", "the manifest has folded the start"])
def world(request: pytest.FixtureRequest) -> SlotWorld:
    """A slot with one document in work."""
    world = SlotWorld()
    world.slot.own()
    world.ask("slow", job="a")
    world.work()
    if request.param == "the manifest has folded the start":
        world.states.catch_up()
    return world


def test_a_slot_that_is_taken_again_releases_what_it_had_started(world: SlotWorld) -> None:
    world.slot.own()
    assert world.told("slow") == ["Queued", "Started", "Released RETAKEN"]
    assert [r.crashes_so_far for r in world.state("slow").requests] == [0]


def test_a_document_is_not_started_again_before_its_old_attempt_has_ended(world: SlotWorld) -> None:
    (old,) = world.in_work
    world.slot.own()
    world.work()
    assert world.told("slow")[-1] == "Released RETAKEN"
    world.slot.finished(old, None)
    world.work()
    assert world.told("slow")[-1] == "Started"


def test_what_an_old_attempt_comes_to_is_no_answer(world: SlotWorld) -> None:
    world.slot.own()
    world.finish()
    assert world.told("slow") == ["Queued", "Started", "Released RETAKEN", "Started"]
    world.finish()
    assert world.told("slow")[-1] == "Completed"


def test_an_attempt_that_was_left_behind_takes_room_until_it_has_ended(world: SlotWorld) -> None:
    for name in ("b", "c", "d"):
        world.ask(name)
    world.slot.own()
    world.work()
    assert world.names_in_work() == ["b", "c", "slow"]


def test_a_document_survives_more_retakes_than_a_document_may_crash() -> None:
    world = SlotWorld()
    world.slot.own()
    world.ask("slow")
    for _ in range(6):
        world.work()
        world.states.catch_up()
        world.slot.own()
        world.finish()
    world.work()
    assert [r.crashes for r in world.state("slow").requests] == [0]
    world.finish()
    assert world.told("slow")[-1] == "Completed"


def test_another_request_of_a_document_starts_although_the_first_was_paused_while_it_was_in_work(
    world: SlotWorld,
) -> None:
    world.slot.own()
    world.say(JobPaused, "a")
    world.ask("slow", job="b", mode=Mode.ADD_ONLY)
    world.work()
    world.finish()
    assert world.told("slow")[-1] == "Started"
    assert [r.queued.meta.job_id for r in world.state("slow").requests if r.started_by] == ["b"]


def test_what_is_in_work_at_the_end_is_released_whatever_was_said_of_its_job(world: SlotWorld) -> None:
    world.say(JobPaused, "a")
    world.ask("slow", Action.REMOVE, job="b")
    world.work()
    world.slot.drain()
    world.slot.release(ReleaseReason.SHUTDOWN)
    assert world.told("slow") == ["Queued", "Started", "Queued", "Released SHUTDOWN"]
    assert world.slot.in_flight == 0


def test_what_another_process_started_is_its_crash() -> None:
    first = SlotWorld()
    first.slot.own()
    first.ask("slow")
    first.work()
    second = SlotWorld(log=first.log, states=first.states, run="run-2")
    second.slot.own()
    second.work()
    assert [r.crashes for r in second.state("slow").requests] == [1]
