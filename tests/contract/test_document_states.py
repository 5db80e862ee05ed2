"""What slots and planners may rely on in document states."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event

from projections.manifest.view import ManifestProjection, ManifestView
from schemas.events import Action, DocumentQueued, Finding, Priority, SkipReason
from schemas.ids import EventId, document_id_of
from schemas.positions import Position
from streams.documents.evolve import ImpossibleTransition, SequenceHole
from streams.documents.states import DocumentStates
from streams.log import Recorded
from tests.samples.histories import FINGERPRINTS, NOON, Histories, histories, job_id_of, position_after, sha256_of
from tests.servers.sql_views import DATABASES, apply

REPORT = "folder:docs/report.md"
NOTES = "folder:docs/notes.md"


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened = DATABASES[request.param](tmp_path)
    yield opened
    opened.dispose()


@pytest.fixture
def view(engine: Engine) -> ManifestView:
    return ManifestView(engine, log_id="log-a")


@pytest.fixture
def made() -> Histories:
    return Histories()


def fold(view: ManifestView, recorded: list[Recorded]) -> DocumentStates:
    """The states after `recorded`, which follow what `view` has."""
    apply(view, ManifestProjection(), recorded)
    return view


@pytest.mark.parametrize("database", DATABASES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=histories(), cuts=st.sets(st.integers(0, 30), max_size=6))
def test_any_legal_history_in_any_batches_gives_the_fold_of_evolve(
    database: str, made: Histories, cuts: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = DATABASES[database](Path(folder))
        view = ManifestView(engine, log_id="log-a")
        apply(view, ManifestProjection(), made.recorded, cuts=[cut for cut in cuts if cut < len(made.recorded)])
        states, position = view.states(made.states.keys())
        assert states == made.states
        assert position == made.position
        assert {state.document_id: state for state in view.scan()} == made.states
        assert queue_of(view) == sorted(
            (r.order, r.queued.request_id) for state in made.states.values() for r in state.requests
        )
        engine.dispose()


def queue_of(view: DocumentStates) -> list[tuple[int, EventId]]:
    return sorted(
        (entry.order, entry.request_id)
        for priority in Priority
        for entry in view.open_requests(0, priority=priority, after_order=-1, limit=1_000)
    )


def test_states_are_only_of_documents_with_events(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    states, position = fold(view, made.recorded).states([document_id_of(REPORT), document_id_of(NOTES)])
    assert set(states) == {document_id_of(REPORT)}
    assert position == Position.parse("documents:0=3")


def test_states_of_more_documents_than_one_statement_holds(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    many = [document_id_of(f"folder:docs/{n}.md") for n in range(40_000)]
    states, _ = fold(view, made.recorded).states([*many, document_id_of(REPORT)])
    assert set(states) == {document_id_of(REPORT)}


def test_events_that_were_folded_before_are_dropped(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    fold(view, made.recorded)
    at = view.position()
    replayed = [change for r in made.recorded for change in ManifestProjection().changes(r)]
    view.apply(replayed, at, at.joined(Position.parse("documents:0=9")))
    assert view.states([document_id_of(REPORT)])[0] == made.states
    assert len(view.history(document_id_of(REPORT))) == 3


def test_a_replay_that_overlaps_applies_only_what_is_new(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    fold(view, made.recorded[:2])
    changes = [change for r in made.recorded for change in ManifestProjection().changes(r)]
    view.apply(changes, view.position(), made.position)
    assert view.states([document_id_of(REPORT)])[0] == made.states
    assert len(view.history(document_id_of(REPORT))) == 3


def test_a_hole_in_a_documents_sequence_stops_the_view_where_it_was(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    made.ingested(NOTES)
    with_hole = [r for r in made.recorded if r.event.meta.sequence != 2 or r.key != document_id_of(NOTES)]
    with pytest.raises(SequenceHole):
        fold(view, with_hole)
    assert view.position() == Position()
    assert view.states(made.states.keys())[0] == {}


def test_an_impossible_transition_stops_the_view_where_it_was(view: ManifestView, made: Histories) -> None:
    request = made.ingested(REPORT)
    fold(view, made.recorded)
    forked = Histories(log_id="log-forked")
    requests = [forked.queued(REPORT) for _ in range(3)]
    forked.cancelled(requests[0])  # sequence 4, as would be next here
    (cancelled,) = ManifestProjection().changes(forked.recorded[3])
    with pytest.raises(ImpossibleTransition):
        view.apply([cancelled], view.position(), Position.parse("documents:0=99"))
    assert view.position() == made.position
    assert view.states([request.document_id])[0] == made.states


def test_a_request_is_known_for_ever_and_only_for_its_document(view: ManifestView, made: Histories) -> None:
    answered = made.ingested(REPORT)
    open_request = made.queued(NOTES)
    states = fold(view, made.recorded)
    unknown = EventId("00000000-0000-5000-8000-000000000000")
    assert states.known_requests([answered.request_id, open_request.request_id, unknown]) == {
        (answered.document_id, answered.request_id),
        (open_request.document_id, open_request.request_id),
    }
    assert states.known_requests([unknown]) == set()
    assert states.known_requests([]) == set()


def test_the_taken_offset_is_after_the_last_request_taken_from_that_log(view: ManifestView, made: Histories) -> None:
    assert view.taken_offset("log-a", 0) == 0
    first, second = made.queued(REPORT), made.queued(NOTES)
    fold(view, made.recorded[:1])
    assert view.taken_offset("log-a", 0) == first.offset + 1
    fold(view, made.recorded[1:])
    assert view.taken_offset("log-a", 0) == second.offset + 1
    assert view.taken_offset("log-a", 1) == 0
    assert view.taken_offset("log-b", 0) == 0


def test_requests_of_an_imported_log_do_not_move_the_taken_offset_of_this_one(view: ManifestView) -> None:
    imported = Histories(log_id="log-imported")
    imported.queued(REPORT)
    fold(view, imported.recorded)
    assert view.taken_offset("log-imported", 0) == 3
    assert view.taken_offset("log-a", 0) == 0


def orders(
    states: DocumentStates, *, priority: Priority = Priority.NORMAL, after: int = -1, limit: int = 9
) -> list[int]:
    return [e.order for e in states.open_requests(0, priority=priority, after_order=after, limit=limit)]


def test_open_requests_come_in_taken_order_by_priority(view: ManifestView, made: Histories) -> None:
    for n in range(4):
        made.queued(f"folder:docs/{n}.md", priority=Priority.NORMAL if n % 2 else Priority.BATCH)
    states = fold(view, made.recorded)
    assert orders(states) == [1, 3]
    assert orders(states, priority=Priority.BATCH) == [0, 2]
    assert orders(states, priority=Priority.BATCH, after=0) == [2]
    assert orders(states, priority=Priority.BATCH, limit=1) == [0]
    assert orders(states, priority=Priority.CRITICAL) == []
    assert states.open_requests(1, priority=Priority.NORMAL, after_order=-1, limit=9) == []


def test_answered_requests_leave_the_queue(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    made.cancelled(made.queued(NOTES))
    waiting = made.queued(NOTES)
    assert orders(fold(view, made.recorded)) == [
        view.states([waiting.document_id])[0][waiting.document_id].requests[0].order
    ]


def test_a_queue_entry_says_what_the_scheduler_needs(view: ManifestView, made: Histories) -> None:
    request = made.queued(REPORT, job="import", priority=Priority.CRITICAL)
    made.started(request)
    (entry,) = fold(view, made.recorded).open_requests(0, priority=Priority.CRITICAL, after_order=-1, limit=9)
    assert (entry.document_id, entry.request_id) == (request.document_id, request.request_id)
    assert (entry.job_id, entry.is_started, entry.retry_at) == (job_id_of("import"), True, None)

    seen = len(made.recorded)
    made.failed(request, is_final=False)
    (entry,) = fold(view, made.recorded[seen:]).open_requests(0, priority=Priority.CRITICAL, after_order=-1, limit=9)
    assert (entry.is_started, entry.retry_at) == (False, NOON + timedelta(hours=1))


def test_requests_of_paused_jobs_are_left_out_and_those_without_a_job_are_not(
    view: ManifestView, made: Histories
) -> None:
    made.queued("folder:docs/0.md", job="paused")
    made.queued("folder:docs/1.md", job="running")
    made.queued("folder:docs/2.md")
    found = fold(view, made.recorded).open_requests(
        0, priority=Priority.NORMAL, after_order=-1, limit=2, without_jobs={job_id_of("paused")}
    )
    assert [entry.order for entry in found] == [1, 2]


def test_a_live_document_is_known_by_what_a_planner_compares(view: ManifestView, made: Histories) -> None:
    request = made.queued(REPORT, metadata={"team": "legal"})
    made.started(request)
    made.completed(request, text="the report")
    known = fold(view, made.recorded).known_documents([request.document_id])[request.document_id]
    assert known.is_live
    assert (known.uri, known.source_root, known.finding) == (REPORT, "folder:docs", request.finding)
    assert known.content_hash == sha256_of("the report")
    assert known.fingerprint == sha256_of("fingerprint of the report")
    assert (known.media_type, known.metadata) == ("text/markdown", {"team": "legal"})
    assert (known.failed_finding, known.failed_parameters, known.error_class) == (None, None, "")


def test_a_document_found_unchanged_is_known_by_its_newer_finding(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    touched = made.queued(REPORT, modified_at_ns=99)
    made.skipped(touched)
    known = fold(view, made.recorded).known_documents([touched.document_id])[touched.document_id]
    assert known.finding == Finding(uri=REPORT, size_bytes=40, modified_at_ns=99, validators={"inode": "7"})
    assert known.content_hash == sha256_of(REPORT)


def test_a_failed_update_is_known_beside_the_version_that_stays_live(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    edited = made.queued(REPORT, modified_at_ns=99)
    made.started(edited)
    made.failed(edited)
    known = fold(view, made.recorded).known_documents([edited.document_id])[edited.document_id]
    assert known.is_live
    assert known.finding is not None
    assert known.finding.modified_at_ns == 1
    assert known.failed_finding == edited.finding
    assert (known.failed_parameters, known.error_class) == (FINGERPRINTS, "PERMANENT")


def test_a_removed_document_is_known_as_not_live(view: ManifestView, made: Histories) -> None:
    made.ingested(REPORT)
    request = made.queued(REPORT, action=Action.REMOVE)
    made.removed(request)
    known = fold(view, made.recorded).known_documents([request.document_id])[request.document_id]
    assert not known.is_live
    assert (known.finding, known.content_hash, known.fingerprint, known.metadata) == (None, "", "", None)


def test_a_document_without_any_answer_is_not_known(view: ManifestView, made: Histories) -> None:
    queued = made.queued(REPORT)
    superseded = made.queued(NOTES)
    made.skipped(superseded, SkipReason.SUPERSEDED)
    assert fold(view, made.recorded).known_documents([queued.document_id, superseded.document_id]) == {}


def test_live_documents_of_a_source_come_by_id_in_pages(view: ManifestView, made: Histories) -> None:
    uris = [f"folder:docs/{n}.md" for n in range(5)]
    for uri in uris:
        made.ingested(uri)
    made.removed(made.queued(uris[3], action=Action.REMOVE))
    made.completed(started(made, made.queued("folder:other/x.md", source_root="folder:other")))
    states = fold(view, made.recorded)
    live = sorted((document_id_of(uri), uri) for uri in uris if uri != uris[3])
    assert states.live_under("folder:docs", after=None, limit=9) == live
    assert states.live_under("folder:docs", after=None, limit=3) == live[:3]
    assert states.live_under("folder:docs", after=live[2][0], limit=3) == live[3:]
    assert states.live_under("folder:doc", after=None, limit=9) == []


def test_live_documents_of_a_place_come_by_uri_in_pages_whoever_brought_them(
    view: ManifestView, made: Histories
) -> None:
    uris = [f"folder:docs/{n}.md" for n in range(5)]
    for number, uri in enumerate(uris):
        made.completed(started(made, made.queued(uri, source_root=f"folder:docs/{number}.md")))
    made.removed(made.queued(uris[3], action=Action.REMOVE))
    made.failed(started(made, made.queued(uris[1])))
    made.failed(started(made, made.queued("folder:docs/never.md")))
    made.queued("folder:docs/queued.md")
    made.ingested("folder:docs-not/x.md")
    made.ingested("folder:doc/x.md")
    states = fold(view, made.recorded)
    live = [(document_id_of(uri), uri) for uri in uris if uri != uris[3]]
    assert states.live_below("folder:docs/", after=None, limit=9) == live
    assert states.live_below("folder:docs/", after=None, limit=2) == live[:2]
    assert states.live_below("folder:docs/", after=uris[1], limit=2) == live[2:]
    assert states.live_below(uris[0], after=None, limit=9) == live[:1]


def started(made: Histories, request: DocumentQueued) -> DocumentQueued:
    made.started(request)
    return request


def test_partitions_stand_apart(view: ManifestView) -> None:
    zero, one = Histories(partition=0), Histories(partition=1)
    zero.queued(REPORT)
    one.queued(NOTES)
    fold(view, zero.recorded)
    fold(view, one.recorded)
    assert view.position() == Position.parse("documents:0=1,documents:1=1")
    (entry,) = view.open_requests(1, priority=Priority.NORMAL, after_order=-1, limit=9)
    assert entry.document_id == document_id_of(NOTES)
    assert (view.taken_offset("log-a", 0), view.taken_offset("log-a", 1)) == (3, 3)


def test_states_and_position_are_of_one_snapshot_while_a_batch_lands(
    view: ManifestView, engine: Engine, made: Histories
) -> None:
    made.queued(REPORT)
    made.cancelled(made.queued(REPORT))
    fold(view, made.recorded[:1])
    has_landed: list[bool] = []

    def land_the_rest_before_the_states_are_read(*args: object) -> None:
        if "_states" in str(args[2]) and str(args[2]).startswith("SELECT") and not has_landed:
            has_landed.append(True)
            fold(ManifestView(engine, log_id="log-a"), made.recorded[1:])

    event.listen(engine, "before_cursor_execute", land_the_rest_before_the_states_are_read)
    states, position = view.states([document_id_of(REPORT)])
    event.remove(engine, "before_cursor_execute", land_the_rest_before_the_states_are_read)
    assert has_landed
    assert position == position_after(made.recorded[:1])
    assert states[document_id_of(REPORT)].sequence == 1
    assert view.states([document_id_of(REPORT)]) == (made.states, made.position)


PLANS = {
    "the queue of a priority": lambda view: view.open_requests(
        0, priority=Priority.NORMAL, after_order=-1, limit=9, without_jobs={job_id_of("paused")}
    ),
    "live documents of a source": lambda view: view.live_under("folder:docs", after=None, limit=9),
    "live documents of a place": lambda view: view.live_below("folder:docs/", after=REPORT, limit=9),
    "known documents": lambda view: view.known_documents([document_id_of(REPORT)]),
    "known requests": lambda view: view.known_requests([EventId("x")]),
    "documents in work": lambda view: view.started_documents(0),
    "documents of a status": lambda view: view.documents(status="failed", limit=9),
    "documents by uri": lambda view: view.documents(uri_prefix="folder:docs/", limit=9, after=REPORT),
    "documents of any status": lambda view: view.documents(limit=9),
    "a document by its uri": lambda view: view.document(REPORT),
    "a history": lambda view: view.history(document_id_of(REPORT)),
}


@pytest.mark.parametrize("question", PLANS)
def test_no_question_reads_a_whole_table(view: ManifestView, engine: Engine, question: str) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("plans are read as SQLite prints them")
    plans: list[str] = []

    def explain(connection: Connection, _: object, statement: str, parameters: object, *__: object) -> None:
        driver: Any = connection.connection.driver_connection
        if "manifest_1_" in statement:
            plans.extend(row[-1] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(engine, "before_cursor_execute", explain)
    PLANS[question](view)
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan]


@pytest.mark.parametrize("length", [500, 700, 12_000])
def test_uris_and_roots_of_any_length_are_listed_in_order(view: ManifestView, made: Histories, length: int) -> None:
    root = "folder:" + "".join(
        random.Random(length).choices("0123456789abcdef", k=length)
    )  # as hard to compress as any
    uris = [f"{root}/{name}.md" for name in ("b", "a", "é", "c")]
    for uri in uris:
        made.completed(started(made, made.queued(uri, source_root=root)))
    fold(view, made.recorded)
    assert [one.uri for one in view.documents(limit=9)] == sorted(uris)
    assert [one.uri for one in view.documents(limit=9, after=min(uris))] == sorted(uris)[1:]
    assert [one.uri for one in view.documents(limit=9, uri_prefix=f"{root}/a")] == [f"{root}/a.md"]
    live = sorted((document_id_of(uri), uri) for uri in uris)
    assert view.live_under(root, after=None, limit=9) == live
    assert view.live_under(f"{root}x", after=None, limit=9) == []
    assert [uri for _, uri in view.live_below(f"{root}/", after=min(uris), limit=9)] == sorted(uris)[1:]
