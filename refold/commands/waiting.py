"""Waiting until what was asked for is answered and searchable: a position, a job, a document, or given requests."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping

from projections.index.books.parked import Parked
from projections.jobs.entries import JobState, JobStatus
from refold.commands.named import document_id_of_name, job_named, position_named
from refold.commands.requests import answers_of, taken_requests
from refold.control.messages import Interrupted
from refold.engine.engine import CATCH_UP_TIMEOUT_S, INDEXES, SQL_VIEWS, Engine
from schemas.errors import PoisonError, UsageError
from schemas.events import DocumentRequested
from schemas.ids import DocumentId, EventId, JobId
from schemas.positions import Position
from streams.documents.request_contract import broken_rule

POLL_S = 0.05
"""How often a job's row is looked at."""

SEE_STATUS = "see: refold status"


class NotSearchable(PoisonError):  # noqa: N818 - a state, as in the error tree
    """What was waited for is answered, and cannot be searched."""


def wait_until_searchable(
    engine: Engine, what: str, stop: threading.Event, names: Collection[str] = INDEXES
) -> set[DocumentId]:
    """Return when the indexes `names` serve `what`; for a position, the documents that are parked.

    Raises:
        NotSearchable: a document of the job, or the document, has failed or is parked.
        UsageError: `what` is no position, job or document, or it cannot come: it is beyond the end, or paused.
        Interrupted: `stop` came first.
    """
    position = position_named(what)
    if position is not None:
        _refuse_beyond_end(engine, position, what)
        wait_for_position(engine, position, stop, names)
        return set(parked_documents(engine, names))
    wait_for_position(engine, engine.end(), stop, SQL_VIEWS)
    try:
        job = job_named(engine, what)
    except UsageError:
        _wait_for_document(engine, what, stop, names)
    else:
        _wait_for_job(engine, job, stop, names)
    return set()


def wait_for_position(
    engine: Engine,
    position: Position,
    stop: threading.Event,
    names: Collection[str] = INDEXES,
    *,
    timeout_s: float = CATCH_UP_TIMEOUT_S,
) -> None:
    """Return when the projections `names` have reached `position`.

    Raises:
        NotThereYet: one of them has not, in time.
        Interrupted: `stop` came first.
        RefoldError: what stopped one of them, or what is wrong with an index.
    """
    engine.wait_for(position, names, timeout_s=timeout_s, stop=stop)


def wait_for_job(engine: Engine, job_id: JobId, stop: threading.Event) -> JobState | None:
    """The job when it is finished; None when `stop` came first."""
    while not stop.is_set():
        engine.check()
        job = engine.parts.views.jobs.job(job_id)
        if job is not None and job.finished_at is not None:
            return job
        stop.wait(POLL_S)
    return None


def parked_documents(engine: Engine, names: Collection[str] = INDEXES) -> Mapping[DocumentId, Parked]:
    """Documents whose latest version one of the indexes `names` could not apply, with what it said."""
    indexes = engine.parts.views.indexes
    return {document_id: parked for name in names for document_id, parked in indexes[name].parked().items()}


def parked_of_job(engine: Engine, job_id: JobId, names: Collection[str] = INDEXES) -> set[DocumentId]:
    """The parked documents whose live version this job made."""
    states, _ = engine.parts.views.manifest.states(parked_documents(engine, names).keys())
    return {d for d, state in states.items() if state.live is not None and state.live.meta.job_id == job_id}


def _refuse_beyond_end(engine: Engine, position: Position, what: str) -> None:
    """Raise if nothing that has happened can bring a reader to `position`."""
    end = engine.end()
    if not end.reaches(position):
        raise UsageError(
            f"there is no position {what} yet: the log ends at {end}",
            op="wait",
            subject=what,
            hint="give a position of this corpus, such as the one that refold ingest has told",
        )


def _wait_for_job(engine: Engine, job: JobState, stop: threading.Event, names: Collection[str]) -> None:
    if job.finished_at is None:
        _refuse_paused(engine, {job.job_id}, job.job_id)
        _work_on(engine, job)
        if wait_for_job(engine, job.job_id, stop) is None:
            raise Interrupted(op="wait", hint="see: refold jobs list")
    wait_for_position(engine, engine.end(), stop, names)
    parked = parked_of_job(engine, job.job_id, names)
    if parked:
        raise NotSearchable(
            f"{len(parked)} documents of {job.job_id} are parked", op="wait", subject=job.job_id, hint=SEE_STATUS
        )


def _work_on(engine: Engine, job: JobState) -> None:
    """Make sure that `job` is worked on: here, where this engine is the one that works."""
    work = engine.work()
    if engine.parts.location.folder is not None:
        work.resume(job)


def _wait_for_document(engine: Engine, name: str, stop: threading.Event, names: Collection[str]) -> None:
    """Return when the latest request for the document, as of now, is answered and what it made is served."""
    document_id = document_id_of_name(name)
    documents = engine.parts.log.partitions("documents")
    begin = engine.parts.log.end(documents)
    wait_for_position(engine, begin, stop, ["manifest"])
    # First the answers to its open requests.
    waiting = dict(_unanswered(engine, document_id))
    if waiting:
        _refuse_paused(engine, set(waiting.values()), name)
        engine.work()
        answers_of(engine, set(waiting), begin, stop)
        wait_for_position(engine, engine.parts.log.end(documents), stop, ["manifest"])
    # Then whether they left anything to search for, and whether the indexes serve it.
    document = engine.parts.views.manifest.document(document_id)
    if document is None:
        raise UsageError(
            f"{name} is no position, no job, and no document",
            op="wait",
            subject=name,
            hint="see: refold documents list",
        )
    if document.failure is not None:
        failure = document.failure
        raise NotSearchable(f"{name} failed: {failure.message}", op="wait", subject=name, hint=failure.hint)
    wait_for_position(engine, engine.parts.log.end(documents), stop, names)
    parked = parked_documents(engine, names).get(document_id)
    if parked is not None:
        raise NotSearchable(
            f"{name} is parked: {parked.message}", op="wait", subject=name, hint=parked.hint or SEE_STATUS
        )


def _unanswered(engine: Engine, document_id: DocumentId) -> Iterator[tuple[EventId, JobId | None]]:
    """The requests for a document without a final answer, and their jobs: taken ones, and those not yet taken in."""
    asked = [event for event in _not_yet_taken(engine) if event.document_id == document_id]
    taken = taken_requests(engine, asked)
    states, _ = engine.parts.views.manifest.states([document_id])
    if document_id in states:
        for request in states[document_id].requests:
            yield request.queued.request_id, request.queued.meta.job_id
    for event in asked:
        if event.meta.event_id not in taken and broken_rule(event) is None:
            yield event.meta.event_id, event.meta.job_id


def _not_yet_taken(engine: Engine) -> Iterator[DocumentRequested]:
    """What lies in `requests` beyond what the manifest knows as taken in: too much rather than too little."""
    log, manifest = engine.parts.log, engine.parts.views.manifest
    partitions = log.partitions("requests")
    taken = Position({tp: manifest.taken_offset(log.log_id, tp.partition) for tp in partitions})
    for batch in log.read(partitions, taken.joined(log.begin(partitions))):
        yield from (r.event for r in batch.recorded if isinstance(r.event, DocumentRequested))


def _refuse_paused(engine: Engine, job_ids: Collection[JobId | None], what: str) -> None:
    for job_id in job_ids:
        job = engine.parts.views.jobs.job(job_id) if job_id is not None else None
        if job is not None and job.status is JobStatus.PAUSED:
            raise UsageError(
                f"{what} waits, for its job is paused", op="wait", subject=what, hint=f"refold jobs resume {job.job_id}"
            )
