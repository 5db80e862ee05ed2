"""Which of a document's requests is acted on, and how: the decision table row by row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.events import (
    Action,
    ArtifactRef,
    DocumentCompleted,
    DocumentQueued,
    Finding,
    Meta,
    Mode,
    SkipReason,
)
from schemas.ids import DocumentId, EventId, JobId
from streams.documents.state import DocumentState, LastAnswer, OpenRequest
from streams.slot.decide import Cancel, GiveUp, Remove, Skip, Start, Wait, decide, supersedes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT = DocumentId("d0000000-0000-5000-8000-000000000000")
PARAMETERS = {"parse": "1"}
FINDING = Finding(uri="file:///a.md", size_bytes=3, modified_at_ns=1_000)


@dataclass(frozen=True)
class SaidOfJobs:
    paused: frozenset[JobId] = frozenset()
    cancelled: frozenset[JobId] = frozenset()


def meta(sequence: int = 1, *, job: str | None = None, cause: str | None = None) -> Meta:
    return Meta(
        event_id=EventId(f"event-{sequence}"),
        occurred_at=NOW,
        pipeline_id="run",
        job_id=JobId(job) if job else None,
        causation_id=EventId(cause) if cause else None,
        sequence=sequence,
    )


def asked(name: str, action: Action = Action.INGEST, **fields: object) -> OpenRequest:
    job, cause = fields.pop("job", None), fields.pop("cause", None)
    of_request = {k: fields.pop(k) for k in ("order", "starts", "crashes", "started_by", "retry_at") if k in fields}
    queued = DocumentQueued(
        meta=meta(job=job, cause=cause),  # type: ignore[arg-type]
        document_id=DOCUMENT,
        request_id=EventId(name),
        action=action,
        **fields,  # type: ignore[arg-type]
    )
    return OpenRequest(queued=queued, **{"order": 0, **of_request})  # type: ignore[arg-type]


LIVE = DocumentCompleted(meta=meta(), document_id=DOCUMENT, request_id=EventId("old"), version=1, finding=FINDING)


def document(*requests: OpenRequest, is_live: bool = False) -> DocumentState:
    live = LIVE if is_live else None
    finding = FINDING if is_live else None
    return DocumentState(document_id=DOCUMENT, version=int(is_live), live=live, finding=finding, requests=requests)


def decided(state: DocumentState, jobs: SaidOfJobs | None = None, *, held: str = "") -> object:
    jobs = jobs or SaidOfJobs()
    return decide(
        state,
        now=NOW,
        parameters=PARAMETERS,
        paused_jobs=jobs.paused,
        cancelled_jobs=jobs.cancelled,
        held_jobs={JobId(held)},
    )


def test_nothing_open_is_nothing_to_do() -> None:
    assert decided(document()) is None


def test_a_new_document_starts() -> None:
    request = asked("one")
    assert decided(document(request)) == Start(request)


@pytest.mark.parametrize(
    ("mode", "is_live", "reason"),
    [
        (Mode.UPDATE_ONLY, False, SkipReason.ABSENT),
        (Mode.ADD_ONLY, True, SkipReason.EXISTS),
        (Mode.SKIP_EXISTING, True, SkipReason.EXISTS),
    ],
)
def test_a_mode_that_does_not_touch_the_document_skips_it(mode: Mode, *, is_live: bool, reason: SkipReason) -> None:
    request = asked("one", mode=mode)
    assert decided(document(request, is_live=is_live)) == Skip(request, reason)


@pytest.mark.parametrize("action", [Action.REMOVE, Action.REINDEX])
def test_what_is_not_live_cannot_be_removed_or_reindexed(action: Action) -> None:
    request = asked("one", action)
    assert decided(document(request)) == Skip(request, SkipReason.ABSENT)


def test_a_live_document_is_removed_and_earlier_requests_are_superseded() -> None:
    first, second, remove = asked("one"), asked("two", mode=Mode.ADD_ONLY), asked("three", Action.REMOVE)
    assert decided(document(first, second, remove, is_live=True)) == Remove(remove, [first, second])


def test_a_removal_that_would_find_nothing_supersedes_nothing() -> None:
    first, remove = asked("one"), asked("two", Action.REMOVE)
    assert decided(document(first, remove)) == Start(first)


def test_the_latest_auto_ingest_supersedes_those_before_it() -> None:
    first, second, third = asked("one"), asked("two"), asked("three")
    assert decided(document(first, second, third)) == Start(third, [first, second])


def test_requests_behind_one_that_cannot_be_superseded_wait_their_turn() -> None:
    remove, ingest = asked("one", Action.REMOVE), asked("two")
    assert decided(document(remove, ingest, is_live=True)) == Remove(remove, ())


@pytest.mark.parametrize(
    ("later", "earlier", "is_superseded"),
    [
        (asked("l"), asked("e"), True),
        (asked("l"), asked("e", force=True), False),
        (asked("l", force=True), asked("e", force=True), True),
        (asked("l"), asked("e", Action.RETRY), True),
        (asked("l"), asked("e", Action.REINDEX), False),
        (asked("l"), asked("e", Action.REMOVE), False),
        (asked("l", mode=Mode.ADD_ONLY), asked("e"), False),
        (asked("l", Action.RETRY), asked("e"), False),
        (asked("l", Action.REMOVE), asked("e", Action.REINDEX), True),
        (asked("l", Action.REMOVE), asked("e", Action.REMOVE), False),
    ],
)
def test_what_supersedes_what(later: OpenRequest, earlier: OpenRequest, *, is_superseded: bool) -> None:
    assert supersedes(later, earlier) is is_superseded


def test_a_waiting_retry_keeps_its_place() -> None:
    due = NOW + timedelta(seconds=5)
    waiting, later = asked("one", retry_at=due), asked("two", mode=Mode.ADD_ONLY)
    assert decided(document(waiting, later)) == Wait(due)


def test_a_due_retry_starts() -> None:
    due = asked("one", retry_at=NOW)
    assert decided(document(due)) == Start(due)


def test_paused_jobs_are_passed_over() -> None:
    paused, other = asked("one", job="p"), asked("two", job="q", mode=Mode.ADD_ONLY)
    jobs = SaidOfJobs(paused=frozenset({JobId("p")}))
    assert decided(document(paused, other), jobs) == Start(other)
    assert decided(document(paused), jobs) == Wait(None)


def test_a_cancelled_request_is_answered_wherever_it_stands() -> None:
    first, cancelled = asked("one", retry_at=NOW + timedelta(hours=1)), asked("two", job="c")
    jobs = SaidOfJobs(cancelled=frozenset({JobId("c")}))
    assert decided(document(first, cancelled), jobs) == Cancel(cancelled)


@pytest.mark.parametrize(("crashes", "is_suspect"), [(0, False), (1, True), (3, True)])
def test_after_a_second_crash_a_document_is_a_suspect(crashes: int, *, is_suspect: bool) -> None:
    request = asked("one", crashes=crashes, started_by="a dead run")
    assert decided(document(request)) == Start(request, is_suspect=is_suspect)


def test_after_too_many_crashes_a_document_is_given_up() -> None:
    request = asked("one", crashes=4, started_by="a dead run")
    assert decided(document(request)) == GiveUp(request, 5)


def test_what_crashed_under_an_earlier_request_is_a_suspect_under_the_one_that_supersedes_it() -> None:
    crashed, later = asked("one", crashes=1, started_by="a dead run"), asked("two")
    assert decided(document(crashed, later)) == Start(later, [crashed], is_suspect=True)
    crashed = asked("one", crashes=4, started_by="a dead run")
    assert decided(document(crashed, later)) == GiveUp(later, 5)


def test_a_retry_runs_while_the_failure_it_names_is_the_last_answer() -> None:
    failed = LastAnswer(request_id=EventId("failed"), kind="DocumentFailed", occurred_at=NOW)
    retry = asked("one", Action.RETRY, cause="failed")
    assert decided(replace(document(retry), last_answer=failed)) == Start(retry)
    newer = replace(failed, request_id=EventId("another"))
    assert decided(replace(document(retry), last_answer=newer)) == Skip(retry, SkipReason.SUPERSEDED)
    completed = replace(failed, kind="DocumentCompleted")
    assert decided(replace(document(retry), last_answer=completed)) == Skip(retry, SkipReason.SUPERSEDED)


def completed_like(**changes: object) -> DocumentState:
    last = LastAnswer(request_id=EventId("old"), kind="DocumentCompleted", occurred_at=NOW, parameters=PARAMETERS)
    return replace(document(asked("one", finding=FINDING), is_live=True), last_answer=replace(last, **changes))


def test_a_finding_just_completed_by_another_job_is_unchanged_without_reading() -> None:
    state = completed_like()
    assert decided(state) == Skip(state.requests[0], SkipReason.UNCHANGED)


def test_other_stages_or_a_young_file_are_read_again() -> None:
    assert isinstance(decided(completed_like(parameters={"parse": "2"})), Start)
    young_ns = int((NOW - timedelta(seconds=1)).timestamp() * 1e9)
    young = replace(FINDING, modified_at_ns=young_ns)
    state = replace(completed_like(), requests=(asked("one", finding=young),), finding=young)
    assert isinstance(decided(state), Start)


CONTENT = ArtifactRef(sha256="0" * 64, size_bytes=1)


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize(
    "passed_over",
    [
        asked("e", order=3),
        asked("e", Action.REMOVE, order=3),
        asked("e", Action.RETRY, order=3),
        asked("e", order=3, mode=Mode.ADD_ONLY),
        asked("e", order=3, force=True, content_ref=CONTENT),
        asked("e", order=3, retry_at=NOW + timedelta(hours=1)),
    ],
    ids=["ingest", "remove", "retry", "add only", "forced content", "waiting"],
)
def test_what_was_passed_over_is_superseded_by_what_has_said_since_what_the_document_is(
    passed_over: OpenRequest, *, is_live: bool
) -> None:
    state = replace(document(passed_over, is_live=is_live), settled_order=4)
    assert decided(state) == Skip(passed_over, SkipReason.SUPERSEDED)


def test_what_was_asked_after_the_last_word_is_done() -> None:
    later = asked("l", order=5)
    assert decided(replace(document(later, is_live=True), settled_order=4)) == Start(later)


def test_a_forced_request_that_reads_its_source_brings_nothing_old_but_does_not_undo_a_removal() -> None:
    forced = asked("e", order=3, force=True)
    assert decided(replace(document(forced, is_live=True), settled_order=4)) == Start(forced)
    assert decided(replace(document(forced), settled_order=4)) == Skip(forced, SkipReason.SUPERSEDED)


def test_vectors_are_added_to_whatever_is_live() -> None:
    passed_over = asked("e", Action.REINDEX, order=3)
    assert decided(replace(document(passed_over, is_live=True), settled_order=4)) == Start(passed_over)


def test_a_start_of_a_job_whose_reader_is_behind_waits_and_another_goes_before_it() -> None:
    held, other = asked("one", job="a"), asked("two", job="b", mode=Mode.ADD_ONLY)
    assert decided(document(held), held="a") == Wait(None)
    assert decided(document(held, other), held="a") == Start(other)


def test_answers_of_a_job_whose_reader_is_behind_do_not_wait() -> None:
    nothing, removal = asked("one", Action.REMOVE, job="a"), asked("two", Action.REMOVE, job="a")
    assert decided(document(nothing), held="a") == Skip(nothing, SkipReason.ABSENT)
    assert decided(document(asked("zero", job="a"), removal, is_live=True), held="a") == Remove(
        removal, [asked("zero", job="a")]
    )
    poison = asked("three", job="a", crashes=5)
    assert decided(document(poison), held="a") == GiveUp(poison, 5)


def test_the_latest_that_outdoes_all_before_it_is_found_behind_one_that_does_not() -> None:
    forced, weaker, stronger = asked("one", force=True), asked("two"), asked("three", force=True)
    assert decided(document(forced, weaker, stronger)) == Start(stronger, [forced, weaker])
    assert decided(document(forced, stronger, weaker)) == Start(stronger, [forced])
