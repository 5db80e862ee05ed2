"""What a document's state remembers of crashes, and of what was said of it last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import Action, SkipReason
from streams.documents.evolve import ImpossibleTransition, evolve
from tests.samples.histories import Histories

URI = "folder:docs/heavy.pdf"


def crashes(made: Histories) -> list[int]:
    return [request.crashes_so_far for request in made.state(URI).requests]


def test_a_start_without_an_answer_is_a_crash_when_the_next_one_comes() -> None:
    made = Histories()
    request = made.queued(URI)
    made.started(request)
    made.started(request)
    assert [request.crashes for request in made.state(URI).requests] == [1]


def test_a_release_is_no_crash() -> None:
    made = Histories()
    request = made.queued(URI)
    made.started(request)
    made.released(request)
    made.started(request)
    assert [request.crashes for request in made.state(URI).requests] == [0]


def test_crashes_are_the_documents_and_pass_to_the_request_that_supersedes() -> None:
    made = Histories()
    crashed = made.queued(URI)
    made.started(crashed)
    made.started(crashed)
    made.queued(URI, job="paused")
    latest = made.queued(URI)
    made.skipped(crashed, SkipReason.SUPERSEDED)
    assert crashes(made) == [2, 2]
    made.started(latest)
    assert crashes(made) == [2, 3]


def test_an_answer_ends_the_count() -> None:
    made = Histories()
    crashed = made.queued(URI)
    made.started(crashed)
    made.started(crashed)
    made.completed(crashed)
    made.queued(URI)
    assert crashes(made) == [0]


def test_what_says_what_a_document_is_is_remembered_with_the_place_of_its_request() -> None:
    made = Histories()
    early, late = made.queued(URI, job="paused"), made.queued(URI)
    assert made.state(URI).settled_order is None
    made.started(late)
    made.completed(late)
    assert made.state(URI).settled_order == 1
    made.started(early)
    made.completed(early)  # as earlier releases did when the job was resumed
    assert made.state(URI).settled_order == 1
    removal = made.queued(URI, action=Action.REMOVE)
    made.removed(removal)
    assert made.state(URI).settled_order == 6


def test_a_removal_that_found_nothing_is_the_last_word_too_and_a_skip_that_changed_nothing_is_none() -> None:
    made = Histories()
    absent = made.queued(URI, action=Action.REMOVE)
    made.skipped(absent, SkipReason.ABSENT)
    settled = made.state(URI).settled_order
    assert settled == 0
    for reason in (SkipReason.EXISTS, SkipReason.ABSENT, SkipReason.SUPERSEDED):
        made.skipped(made.queued(URI), reason)
    made.cancelled(made.queued(URI))
    assert made.state(URI).settled_order == settled
    unchanged = made.queued(URI)
    made.skipped(unchanged, SkipReason.UNCHANGED)
    assert made.state(URI).settled_order == 10


def test_a_request_that_is_open_is_not_taken_twice_however_many_there_are() -> None:
    made = Histories()
    first = made.queued(URI)
    for _ in range(20):
        made.queued(URI)
    again = replace(first, meta=replace(first.meta, sequence=22))
    with pytest.raises(ImpossibleTransition):
        evolve(made.state(URI), again, 99)


def test_a_failure_is_not_the_last_word_so_that_what_was_passed_over_still_runs() -> None:
    made = Histories()
    made.queued(URI, job="paused")
    later = made.queued(URI)
    made.started(later)
    made.failed(later)
    assert made.state(URI).last_answer is not None
    assert made.state(URI).settled_order is None
