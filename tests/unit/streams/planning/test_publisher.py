"""What planning a job leaves in the log, whatever happens to the planner."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from schemas.errors import UnreachableError
from schemas.events import (
    Action,
    AdapterReported,
    AdapterState,
    AdapterStateChange,
    DocumentRequested,
    Finding,
    JobPlanned,
    JobSubmitted,
    Mode,
    PipelineEvent,
    Priority,
)
from schemas.ids import EventId, JobId, document_id_of
from schemas.positions import Position, TopicPartition
from streams.logs.memory import MemoryLog
from streams.planning.job import Job, requests_in_log
from streams.planning.plan import Plan, PlanRules
from streams.planning.planner import BATCH_DOCUMENTS, Planner
from streams.planning.publication import Published
from streams.planning.publisher import Permission, Publisher
from streams.planning.removals import MassRemovalRefused
from streams.source import Found, Unreadable
from tests.unit.streams.planning.remembered_documents import PARAMETERS, RememberedDocuments, expected_fingerprint

JOB = Job(job_id=JobId("6f0c2f0e-0000-4000-8000-000000000001"), sources=("file:///docs/",))
NOW = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process dies here."""


class Documents:
    """A source with `count` documents, `unreadable` ones beside, and those `left_out` there but not taken."""

    name = "folder"
    source_root = source_uri = place = "file:///docs/"

    def __init__(self, number: int, *, unreadable: Sequence[str] = (), left_out: Sequence[str] = ()) -> None:
        self.uris = [f"file:///docs/{n:05}.md" for n in range(number)]
        self.left_out = left_out
        self.unreadable = unreadable

    def scan(self) -> Iterator[Found | Unreadable]:
        for uri in self.uris:
            yield Found(uri, Finding(uri=uri, size_bytes=1, modified_at_ns=1), metadata={"shelf": "A"})
        for uri in self.unreadable:
            yield Unreadable(uri, "no permission")

    def covers(self, uri: str) -> bool:
        return uri.startswith(self.place)

    def still_holds(self, uri: str) -> bool:
        return uri in self.left_out

    def fetch(self, finding: Finding) -> None:  # type: ignore[override]
        raise NotImplementedError(finding)


class BrokenSource(Documents):
    """Breaks after its last document."""

    def __init__(self, number: int, *, breaks_with: str = "the share is gone") -> None:
        super().__init__(number)
        self._breaks_with = breaks_with

    def scan(self) -> Iterator[Found | Unreadable]:
        yield from super().scan()
        raise UnreachableError(self._breaks_with)


class Planning:
    """A log, what is known, and a planner and publisher between them; each run is a process of its own."""

    def __init__(self, scratch: Path) -> None:
        self.log = MemoryLog(partitions=3)
        self.states = RememberedDocuments()
        self._scratch = scratch
        self._runs = count(1)

    def plan(self, source: Documents, rules: PlanRules | None = None) -> Plan:
        planner = Planner(
            self.states,
            parameters=PARAMETERS,
            expected_fingerprint=expected_fingerprint,
            scratch=self._scratch,
        )
        return planner.plan([source], rules or PlanRules())

    def publish(
        self,
        source: Documents,
        *,
        job: Job = JOB,
        permissions: Iterable[Permission] = (),
        already: Iterable[EventId] | None = None,
    ) -> Published:
        publisher = Publisher(self.log, pipeline_id=f"run-{next(self._runs)}", now=lambda: NOW, scratch=self._scratch)
        gate = iter(permissions)
        return publisher.publish(
            job,
            self.plan(source, job.rules),
            adapters=[source.name],
            gate=lambda: next(gate, Permission.GO_ON),
            already=already,
        )

    def resume(self, source: Documents, *, job: Job = JOB, taken: Iterable[EventId] = ()) -> Published:
        return self.publish(source, job=job, already=requests_in_log(self.log, job.job_id, taken=lambda _: taken))

    def events(self, topic: str) -> list[PipelineEvent]:
        partitions = self.log.partitions(topic)
        return [r.event for batch in self.log.read(partitions, self.log.begin(partitions)) for r in batch.recorded]

    def requests(self) -> list[DocumentRequested]:
        return [event for event in self.events("requests") if isinstance(event, DocumentRequested)]

    def state_changes(self) -> list[tuple[AdapterState, AdapterState]]:
        changes = (event for event in self.events("adapters") if isinstance(event, AdapterStateChange))
        return [(change.old_state, change.new_state) for change in changes]

    def planned(self) -> list[JobPlanned]:
        return [event for event in self.events("jobs") if isinstance(event, JobPlanned)]


IDLE, STARTING, RUNNING = AdapterState.IDLE, AdapterState.STARTING, AdapterState.RUNNING
STOPPED, FAILED = AdapterState.STOPPED, AdapterState.FAILED
WELL = [(IDLE, STARTING), (STARTING, RUNNING), (RUNNING, STOPPED)]


@pytest.fixture
def planning(tmp_path: Path) -> Planning:
    return Planning(tmp_path)


def test_a_job_is_submitted_requested_and_planned(planning: Planning) -> None:
    job = Job(
        job_id=JOB.job_id,
        sources=("file:///docs/",),
        rules=PlanRules(mode=Mode.ADD_ONLY, force=True),
        priority=Priority.CRITICAL,
        settings_fingerprint="5e77",
        parameters={"folder": "{}"},
    )
    published = planning.publish(Documents(1, unreadable=["file:///docs/closed/"]), job=job)
    assert published == Published(requested=1, unchanged=0, to_remove=0, unreadable=1, is_planned=True)
    (request,) = planning.requests()
    uri = "file:///docs/00000.md"
    assert request == DocumentRequested(
        meta=request.meta,
        document_id=document_id_of(uri),
        uri=uri,
        adapter="folder",
        action=Action.INGEST,
        mode=Mode.ADD_ONLY,
        force=True,
        priority=Priority.CRITICAL,
        metadata={"shelf": "A"},
        source_root="file:///docs/",
        finding=Finding(uri=uri, size_bytes=1, modified_at_ns=1),
    )
    submitted, planned = sorted(planning.events("jobs"), key=lambda event: type(event).__name__, reverse=True)
    assert isinstance(submitted, JobSubmitted)
    assert PlanRules.from_parameters(submitted.mode, submitted.parameters) == job.rules
    assert submitted.parameters.items() >= job.parameters.items()
    assert request.meta.causation_id == submitted.meta.event_id
    assert (request.meta.job_id, request.meta.pipeline_id, request.meta.occurred_at) == (job.job_id, "run-1", NOW)
    assert planned == JobPlanned(meta=planned.meta, requested=1, unchanged=0, to_remove=0, unreadable=1)
    assert planning.state_changes() == WELL
    (report,) = (event for event in planning.events("adapters") if isinstance(event, AdapterReported))
    assert (report.adapter, report.kind, report.detail) == (
        "folder",
        "unreadable",
        "file:///docs/closed/: no permission",
    )


def test_a_plan_without_work_leaves_a_job_and_no_request(planning: Planning) -> None:
    source = Documents(BATCH_DOCUMENTS + 3)
    planning.states.complete(document for batch in planning.plan(source) for document in batch)
    assert planning.publish(source) == Published(0, BATCH_DOCUMENTS + 3, 0, 0, is_planned=True)
    assert planning.requests() == []
    assert planning.state_changes() == WELL


def test_removals_are_requests_and_are_counted(planning: Planning) -> None:
    planning.states.complete(document for batch in planning.plan(Documents(9)) for document in batch)
    published = planning.publish(Documents(7), job=Job(job_id=JOB.job_id, sources=(), rules=PlanRules(force=True)))
    assert (published.requested, published.to_remove) == (9, 2)
    removals = [request for request in planning.requests() if request.action is Action.REMOVE]
    assert [(r.uri, r.source_root, r.force, r.finding) for r in sorted(removals, key=lambda r: r.uri)] == [
        ("file:///docs/00007.md", "file:///docs/", False, None),
        ("file:///docs/00008.md", "file:///docs/", False, None),
    ]


def test_no_append_holds_more_than_a_batch(planning: Planning, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = planning.log.append

    def counted(slot: None, drafts: Sequence) -> Position:  # type: ignore[type-arg]
        sizes.append(sum(draft.topic == "requests" for draft in drafts))
        return append(slot, drafts)

    monkeypatch.setattr(planning.log, "append", counted)
    planning.publish(Documents(2 * BATCH_DOCUMENTS + 1))
    assert sizes == [0, BATCH_DOCUMENTS, BATCH_DOCUMENTS, 1, 0]


@pytest.mark.parametrize("batches_before", [0, 1, 2, 3])
def test_a_planner_killed_anywhere_goes_on_and_repeats_nothing(planning: Planning, batches_before: int) -> None:
    source = Documents(2 * BATCH_DOCUMENTS + 7)

    def permissions() -> Iterator[Permission]:
        for _ in range(batches_before):
            yield Permission.GO_ON
        raise Killed

    with pytest.raises(Killed):
        planning.publish(source, permissions=permissions())
    asked = len(planning.requests())
    assert asked == min(batches_before * BATCH_DOCUMENTS, len(source.uris))
    assert planning.planned() == []

    published = planning.resume(source)
    ids = [request.meta.event_id for request in planning.requests()]
    assert len(ids) == len(set(ids)) == published.requested == len(source.uris)
    assert [planned.requested for planned in planning.planned()] == [len(source.uris)]
    assert sum(isinstance(event, JobSubmitted) for event in planning.events("jobs")) == 1


def test_requests_that_were_answered_and_trimmed_meanwhile_count_too(planning: Planning) -> None:
    source = Documents(BATCH_DOCUMENTS + 7)
    with pytest.raises(Killed):
        planning.publish(source, permissions=_killed_after(1))
    taken = [request.meta.event_id for request in planning.requests()]
    planning.states.complete(next(planning.plan(source)))
    planning.log.trim(planning.log.end(planning.log.partitions("requests")))

    published = planning.resume(source, taken=taken)
    assert published == Published(BATCH_DOCUMENTS + 7, BATCH_DOCUMENTS, 0, 0, is_planned=True)
    assert sorted(request.uri for request in planning.requests()) == source.uris[BATCH_DOCUMENTS:]


def test_requests_of_other_jobs_are_not_mistaken_for_ours(planning: Planning) -> None:
    other = Job(job_id=JobId("6f0c2f0e-0000-4000-8000-000000000002"), sources=())
    planning.publish(Documents(5), job=other)
    with pytest.raises(Killed):
        planning.publish(Documents(5), permissions=_killed_after(0))
    assert planning.resume(Documents(5)).requested == 5
    assert Counter(request.meta.job_id for request in planning.requests()) == {JOB.job_id: 5, other.job_id: 5}


def test_a_log_trimmed_while_it_is_read_is_read_again(planning: Planning) -> None:
    planning.publish(Documents(50))
    begin = planning.log.begin
    trimmed = Position(
        {tp: offset // 2 for tp, offset in planning.log.end(planning.log.partitions("requests")).items()}
    )

    def begin_before_a_trim(partitions: Collection[TopicPartition]) -> Position:
        position = begin(partitions)
        planning.log.trim(trimmed)
        return position

    planning.log.begin = begin_before_a_trim  # type: ignore[method-assign]
    found = list(requests_in_log(planning.log, JOB.job_id, taken=lambda _: [EventId("taken")]))
    assert sorted(found[:-1]) == sorted(request.meta.event_id for request in planning.requests())
    assert 20 < len(found) < 30
    assert found[-1] == "taken"


def test_a_limit_holds_over_all_plannings_of_a_job(planning: Planning) -> None:
    limited = Job(job_id=JOB.job_id, sources=(), rules=PlanRules(limit=10))
    with pytest.raises(Killed):
        planning.publish(Documents(6), job=limited, permissions=_killed_after(1))
    planning.states.complete([document for batch in planning.plan(Documents(3)) for document in batch])
    assert planning.resume(Documents(40), job=limited).requested == 10
    assert len(planning.requests()) == 10


def test_refused_removals_end_the_planning_and_all_else_was_asked_for(planning: Planning) -> None:
    planning.states.complete(document for batch in planning.plan(Documents(20)) for document in batch)
    source = Documents(3)
    source.uris.append("file:///docs/new.md")
    with pytest.raises(MassRemovalRefused):
        planning.publish(source)
    assert [(request.action, request.uri) for request in planning.requests()] == [
        (Action.INGEST, "file:///docs/new.md")
    ]
    assert [(p.requested, p.to_remove) for p in planning.planned()] == [(1, 0)]
    assert planning.state_changes() == WELL
    (report,) = (event for event in planning.events("adapters") if isinstance(event, AdapterReported))
    assert report.kind == "removals_refused"
    assert "17 of 20" in report.detail


def test_what_is_left_out_is_counted_and_reported_and_not_asked_for(planning: Planning) -> None:
    planning.states.complete(document for batch in planning.plan(Documents(5)) for document in batch)
    narrowed = Documents(3, left_out=["file:///docs/00003.md", "file:///docs/00004.md"])
    assert planning.publish(narrowed) == Published(0, 3, 0, 0, is_planned=True, left_out=2)
    assert planning.requests() == []
    (report,) = (event for event in planning.events("adapters") if isinstance(event, AdapterReported))
    assert (report.kind, report.detail.split(" ")[0]) == ("left_out", "2")


def test_a_scan_that_breaks_fails_the_adapter_and_leaves_the_job_unplanned(planning: Planning) -> None:
    with pytest.raises(UnreachableError):
        planning.publish(BrokenSource(BATCH_DOCUMENTS))
    assert len(planning.requests()) == BATCH_DOCUMENTS
    assert planning.planned() == []
    assert planning.state_changes() == [(IDLE, STARTING), (STARTING, RUNNING), (RUNNING, FAILED)]
    assert planning.resume(Documents(BATCH_DOCUMENTS)).requested == BATCH_DOCUMENTS


def test_a_cancelled_job_is_planned_as_far_as_it_came(planning: Planning) -> None:
    published = planning.publish(Documents(3 * BATCH_DOCUMENTS), permissions=[Permission.GO_ON, Permission.CANCELLED])
    assert published == Published(BATCH_DOCUMENTS, 0, 0, 0, is_planned=True)
    assert [planned.requested for planned in planning.planned()] == [BATCH_DOCUMENTS]


def test_a_shutdown_leaves_the_job_to_be_resumed(planning: Planning) -> None:
    source = Documents(3 * BATCH_DOCUMENTS)
    published = planning.publish(source, permissions=[Permission.GO_ON, Permission.SHUTDOWN])
    assert not published.is_planned
    assert planning.planned() == []
    assert planning.resume(source) == Published(3 * BATCH_DOCUMENTS, 0, 0, 0, is_planned=True)
    assert planning.state_changes() == WELL * 2


def test_nothing_is_scanned_while_the_gate_holds_back(planning: Planning) -> None:
    asked: list[int] = []

    def permissions() -> Iterator[Permission]:
        while True:
            asked.append(len(planning.requests()))
            yield Permission.GO_ON

    planning.publish(Documents(2 * BATCH_DOCUMENTS), permissions=permissions())
    assert asked == [0, BATCH_DOCUMENTS, 2 * BATCH_DOCUMENTS]


def test_an_error_that_names_a_path_which_is_no_utf8_can_be_kept(planning: Planning) -> None:
    with pytest.raises(UnreachableError):
        planning.publish(BrokenSource(0, breaks_with="caf\udce9 is gone"))
    changes = [event for event in planning.events("adapters") if isinstance(event, AdapterStateChange)]
    assert [change.reason for change in changes if change.new_state is FAILED] == ["caf\\udce9 is gone"]


def _killed_after(batches: int) -> Iterator[Permission]:
    for _ in range(batches):
        yield Permission.GO_ON
    raise Killed
