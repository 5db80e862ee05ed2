"""What a slot does next: what must wait and for whom, what never waits, and what is past."""

from __future__ import annotations

import time

import pytest

from schemas.events import (
    Action,
    DocumentSkipped,
    JobCancelled,
    JobFinished,
    JobPaused,
    JobResumed,
    Mode,
    Priority,
    RequestRejected,
)
from schemas.ids import JobId, document_id_of, random_id
from streams.slot.queue_cursor import PAGE
from tests.worlds.slot import SlotWorld, artifact, events_of, failed_for_now


@pytest.fixture
def world() -> SlotWorld:
    """A slot that is owned, with room for one document."""
    world = SlotWorld(limit=1)
    world.slot.own()
    return world


@pytest.fixture
def full(world: SlotWorld) -> SlotWorld:
    """The same with its room taken and a thousand documents before whatever comes next."""
    world.ask("slow")
    for n in range(1_000):
        world.ask(f"queued-{n}")
    world.work()
    assert world.names_in_work() == ["slow"]
    return world


# -- what never waits


def test_a_cancelled_job_is_answered_while_the_workload_is_full(full: SlotWorld) -> None:
    for n in range(3):
        full.ask(f"late-{n}", job="a")
    full.work()
    full.say(JobCancelled, "a")
    full.work()
    assert [full.told(f"late-{n}") for n in range(3)] == [["Queued", "Cancelled"]] * 3
    assert full.names_in_work() == ["slow"]


def test_removals_and_skips_are_answered_while_the_workload_is_full(full: SlotWorld) -> None:
    full.ask("nothing", Action.REMOVE)
    full.ask("never-seen", mode=Mode.UPDATE_ONLY)
    full.work()
    assert full.told("nothing") == full.told("never-seen") == ["Queued", "Skipped ABSENT"]


def test_a_removal_supersedes_what_is_queued_while_the_workload_is_full(world: SlotWorld) -> None:
    world.ask("note")
    world.work()
    world.finish()
    world.ask("slow")
    world.work()
    world.ask("note")
    world.ask("note", Action.REMOVE)
    world.work()
    assert world.told("note")[-2:] == ["Skipped SUPERSEDED", "Removed REQUESTED"]


def test_what_waited_before_the_slot_was_taken_is_answered_too(full: SlotWorld) -> None:
    full.ask("nothing", Action.REMOVE, job="a")
    full.say(JobPaused, "a")
    full.work()
    full.states.catch_up()
    heir = SlotWorld(log=full.log, states=full.states, run="run-2", limit=1)
    heir.slot.own()
    heir.work()
    full.say(JobResumed, "a")
    heir.work()
    assert len(heir.in_work) == 1
    assert heir.told("nothing") == ["Queued", "Skipped ABSENT"]


def test_a_suspect_of_the_lowest_priority_gets_its_turn_before_what_comes_later() -> None:
    first = SlotWorld(run="dead-1")
    first.ask("suspect", job="a", priority=Priority.BATCH)
    for run in ("dead-1", "dead-2"):
        dead = SlotWorld(log=first.log, states=first.states, run=run)
        dead.slot.own()
        dead.work()
    world = SlotWorld(log=first.log, states=first.states, run="now")
    world.say(JobPaused, "a")
    world.slot.own()
    for n in range(5):
        world.ask(f"critical-{n}", priority=Priority.CRITICAL)
    world.work()
    world.say(JobResumed, "a")
    world.work()
    assert world.names_in_work() == ["critical-0", "critical-1", "critical-2"]
    world.finish()
    assert world.names_in_work() == ["suspect"]
    world.finish()
    assert world.names_in_work() == ["critical-3", "critical-4"]


# -- whose reader is behind


def test_a_reader_that_is_behind_holds_back_its_own_job_only() -> None:
    world = SlotWorld(limit=10)
    world.slot.own()
    world.held_jobs = {JobId("a")}
    for n in range(2 * PAGE):
        world.ask(f"held-{n}", job="a", priority=Priority.CRITICAL)
    world.ask("other", job="b", priority=Priority.BATCH)
    world.ask("of-no-job")
    world.work()
    assert world.names_in_work() == ["of-no-job", "other"]
    world.held_jobs = ()
    world.work()
    assert len(world.in_work) == 10


def test_answers_of_a_job_whose_reader_is_behind_do_not_wait() -> None:
    world = SlotWorld()
    world.slot.own()
    world.held_jobs = {JobId("a")}
    world.ask("waits", job="a")
    world.ask("nothing", Action.REMOVE, job="a")
    world.work()
    assert world.told("nothing") == ["Queued", "Skipped ABSENT"]
    assert world.told("waits") == ["Queued"]


def test_a_document_of_a_job_that_is_held_back_is_removed_by_another_and_does_not_come_back() -> None:
    world = SlotWorld()
    world.slot.own()
    world.held_jobs = {JobId("a")}
    world.ask("note", job="a")
    world.ask("note", Action.REMOVE)
    world.work()
    world.held_jobs = ()
    world.work()
    assert world.told("note")[-2:] == ["Skipped ABSENT", "Skipped SUPERSEDED"]


# -- what is past


@pytest.mark.parametrize("later", [Mode.AUTO, Mode.ADD_ONLY], ids=["superseding", "adding"])
def test_a_paused_push_does_not_bring_its_old_content_back(world: SlotWorld, later: Mode) -> None:
    world.say(JobPaused, "a")
    world.ask("note", job="a", content_ref=artifact("1"))
    world.ask("note", job="b", content_ref=artifact("2"), mode=later)
    world.work()
    world.finish()
    world.say(JobResumed, "a")
    world.work()
    assert world.told("note") == ["Queued", "Queued", "Started", "Completed", "Skipped SUPERSEDED"]


def test_a_paused_push_does_not_bring_a_removed_document_back(world: SlotWorld) -> None:
    world.ask("note")
    world.work()
    world.finish()
    world.say(JobPaused, "a")
    world.ask("note", job="a")
    world.ask("note", Action.REMOVE, job="b")
    world.work()
    world.say(JobResumed, "a")
    world.work()
    assert world.told("note")[-2:] == ["Removed REQUESTED", "Skipped SUPERSEDED"]
    assert world.state("note").live is None


def test_a_paused_removal_does_not_take_away_what_was_added_later(world: SlotWorld) -> None:
    world.ask("note")
    world.work()
    world.finish()
    world.say(JobPaused, "a")
    world.ask("note", Action.REMOVE, job="a")
    world.ask("note", job="b", content_ref=artifact("2"))
    world.work()
    world.finish()
    world.say(JobResumed, "a")
    world.work()
    assert world.told("note")[-1] == "Skipped SUPERSEDED"
    assert world.state("note").live is not None


def test_a_paused_push_runs_where_nothing_later_came_to_anything(world: SlotWorld) -> None:
    world.say(JobPaused, "a")
    world.ask("note", job="a")
    world.ask("note", job="b")
    world.say(JobCancelled, "b")
    world.work()
    world.say(JobResumed, "a")
    world.work()
    assert world.told("note") == ["Queued", "Queued", "Cancelled", "Started"]


def test_what_was_asked_of_a_paused_job_goes_on_when_the_job_has_finished(world: SlotWorld) -> None:
    world.ask("first", job="a")
    world.work()
    world.say(JobPaused, "a")
    world.ask("further", job="a")
    world.finish()
    world.states.catch_up()
    assert world.told("further") == ["Queued"]
    world.say(JobFinished, "a")
    world.work()
    assert world.names_in_work() == ["further"]


# -- one id, two documents


@pytest.mark.parametrize("when", ["in one turn", "soon after", "after a restart"])
def test_an_id_that_another_document_has_is_rejected_with_a_reason(world: SlotWorld, when: str) -> None:
    request_id = random_id()
    world.ask("first", request_id=request_id)
    if when != "in one turn":
        world.work()
    if when == "after a restart":
        world.states.catch_up()
        world.slot.own()
    world.ask("second", request_id=request_id)
    world.work()
    (rejected,) = events_of(world.log, "adapters")
    assert isinstance(rejected, RequestRejected)
    assert rejected.error == f"meta.event_id {request_id} was taken for document {document_id_of('push:first')}"
    assert world.told("second") == []


# -- how long it takes


def test_what_is_ready_starts_at_once_behind_any_number_of_waiting_retries() -> None:
    waiting = 3 * PAGE
    world = SlotWorld(limit=waiting + 1)
    world.slot.own()
    for n in range(waiting):
        world.ask(f"away-{n}")
    world.work()
    world.finish(failed_for_now(3_600.0))
    world.states.catch_up()
    world.slot.own()
    world.ask("ready")
    assert world.slot.take_turn()
    assert world.slot.take_turn()
    assert world.names_in_work() == ["ready"]


def test_retries_that_wait_are_started_once_each_however_often_jobs_are_cancelled() -> None:
    world = SlotWorld(limit=100)
    world.slot.own()
    for n in range(10):
        world.ask(f"away-{n}")
    world.work()
    world.finish(failed_for_now(600.0))
    for n in range(5):
        world.say(JobCancelled, f"another-{n}")
        world.work()
    due = world.slot.next_due()
    assert due is not None
    assert due > world.now
    world.wait(3_600)
    world.work()
    assert world.slot.next_due() is None
    assert len(world.in_work) == 10


def test_the_time_for_a_document_with_thousands_of_requests_grows_with_their_number() -> None:
    """Four times as many took sixteen times as long; half of that leaves room for a busy machine."""
    few, many = (min(_hot_s(count) for _ in range(2)) for count in (1_000, 4_000))
    assert many < 8 * few


def _hot_s(requests: int) -> float:
    """CPU seconds to take `requests` for one document that is in work, and to answer them."""
    world = SlotWorld()
    world.slot.own()
    world.ask("hot")
    world.work()
    for _ in range(requests):
        world.ask("hot")
    began_s = time.process_time()
    world.work()
    world.finish()
    took_s = time.process_time() - began_s
    superseded = [event for event in events_of(world.log, "documents") if isinstance(event, DocumentSkipped)]
    assert len(superseded) == requests - 1
    return took_s
