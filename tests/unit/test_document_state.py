"""What a document's state remembers of crashes."""

from __future__ import annotations

from histories import Histories

from schemas.events import SkipReason

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
