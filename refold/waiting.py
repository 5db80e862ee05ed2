"""Waiting until something is searchable: a position, a job, or a document."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from projections.job_entries import JobState
from refold.engine import INDEXES, SQL_VIEWS, Engine
from refold.naming import document_id_named, job_named
from schemas.errors import PoisonError, UsageError
from schemas.ids import DocumentId, JobId
from schemas.positions import Position

POLL_S = 0.05
"""How often a job's row is looked at."""


class Parked(PoisonError):  # noqa: N818 - a state, as in the error tree
    """An index could not apply what was waited for."""


def wait_until_searchable(engine: Engine, what: str, stop: threading.Event) -> Mapping[str, Any]:
    """Return when `what` is searchable; of a position, the answer lists the parked documents.

    Raises:
        Parked: a document of the job, or the document, is parked.
        UsageError: `what` is no position, job or document.
    """
    if "=" in what and ":" in what and "/" not in what:
        engine.wait_for(Position.parse(what))
        return {"parked": sorted(parked_documents(engine))}
    engine.wait_for(engine.end(), SQL_VIEWS)
    try:
        job = job_named(engine, what)
    except UsageError:
        _wait_for_document(engine, document_id_named(engine, what))
        return {}
    wait_for_job(engine, job.job_id, stop)
    engine.wait_for(engine.end())
    parked = parked_of_job(engine, job.job_id)
    if parked:
        raise _parked(len(parked), what)
    return {}


def wait_for_job(engine: Engine, job_id: JobId, stop: threading.Event) -> JobState | None:
    """The job when it is finished; None when `stop` came first."""
    while not stop.is_set():
        engine.check()
        job = engine.parts.views.jobs.job(job_id)
        if job is not None and job.finished_at is not None:
            return job
        stop.wait(POLL_S)
    return None


def parked_documents(engine: Engine) -> set[DocumentId]:
    """Documents whose latest version an index could not apply."""
    return {document_id for view in engine.parts.views.indexes.values() for document_id in view.parked()}


def parked_of_job(engine: Engine, job_id: JobId) -> set[DocumentId]:
    """The parked documents whose live version this job made."""
    parked = parked_documents(engine)
    states, _ = engine.parts.views.manifest.states(parked)
    return {d for d, state in states.items() if state.live is not None and state.live.meta.job_id == job_id}


def _wait_for_document(engine: Engine, document_id: DocumentId) -> None:
    engine.wait_for(engine.end(), INDEXES)
    if document_id in parked_documents(engine):
        raise _parked(1, document_id)


def _parked(count: int, what: str) -> Parked:
    return Parked(f"{count} documents of {what} are parked", op="wait", subject=what, hint="see: refold status")
