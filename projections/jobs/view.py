"""The jobs view: what was asked for, how far it is, and which requests have their answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from projections.jobs import queries
from projections.jobs.entries import JobState
from projections.jobs.rows import ANSWER_COUNTS, JobChange, JobDocumentChange, JobDocumentRows, facts_after
from projections.jobs.tables import COUNTS, JobTables, job_tables
from projections.sql.counted import not_counted
from projections.sql.dialects import insert_absent, upsert
from projections.sql.store import Snapshot
from projections.sql.view import SqlView, answers
from schemas.events import DocumentEvent, DocumentQueued, JobEvent, JobPaused, JobResumed
from schemas.ids import EventId, JobId
from streams.log import Recorded

JobsChange = JobChange | JobDocumentChange

_COUNTED_KINDS = (DocumentQueued, *ANSWER_COUNTS)


class JobsProjection:
    """Facts of topic `jobs`, counts of topic `documents`; they touch different columns, so they commute."""

    name = "jobs"
    version = 2
    topics: Sequence[str] = ("jobs", "documents")

    def changes(self, recorded: Recorded) -> Sequence[JobsChange]:
        """The event, if it belongs to a job."""
        event = recorded.event
        job_id = event.meta.job_id
        if job_id is None:
            return ()
        if isinstance(event, JobEvent):
            return (JobChange(event),)
        if isinstance(event, DocumentEvent) and isinstance(event, _COUNTED_KINDS):
            return (JobDocumentChange(job_id, event, recorded.partition, recorded.offset),)
        return ()


class JobsView(SqlView[JobTables, JobsChange]):
    """Jobs in SQL."""

    projection = JobsProjection()
    tables = staticmethod(job_tables)

    jobs = answers(queries.jobs)
    job = answers(queries.job)
    unfinished = answers(queries.unfinished)
    failures = answers(queries.failures)
    contains = answers(queries.contains)
    control_states = answers(queries.control_states)

    def request_ids(self, job_id: JobId) -> Iterator[EventId]:
        """All requests that were taken of the job, in no order, in one snapshot that stands while this is read."""
        with self.read() as snapshot:
            yield from queries.request_ids(snapshot, job_id)

    def scan(self) -> Iterator[JobState]:
        """Every job."""
        yield from self.jobs()

    def _write(self, snapshot: Snapshot[JobTables], changes: Sequence[JobsChange]) -> None:
        # What was said of jobs changes columns of their own; what happened to documents is summed up, batch by batch.
        _write_facts(snapshot, [change.event for change in changes if isinstance(change, JobChange)])
        connection, tables = snapshot.connection, snapshot.tables
        batch = JobDocumentRows()
        of_documents = [change for change in changes if isinstance(change, JobDocumentChange)]
        for change in not_counted(connection, tables.counted, of_documents):
            batch.fold(change)
        upsert(connection, tables.jobs, batch.counts(), added=COUNTS)
        upsert(connection, tables.requests, batch.requests(), filled=["uri", "answer_kind"])
        upsert(connection, tables.skips, batch.skips(), added=["count"])
        upsert(connection, tables.stages, batch.stages(), added=["documents", "cached", "duration_ms"])
        upsert(connection, tables.failures, batch.failures)


def _write_facts(snapshot: Snapshot[JobTables], events: Sequence[JobEvent]) -> None:
    events = [event for event in events if _is_new(snapshot, event)]
    job_ids = {event.meta.job_id for event in events if event.meta.job_id is not None}
    facts = queries.facts(snapshot, job_ids)
    for event in events:
        if event.meta.job_id is not None:
            facts[event.meta.job_id].update(facts_after(facts[event.meta.job_id], event))
    upsert(snapshot.connection, snapshot.tables.jobs, list(facts.values()))


def _is_new(snapshot: Snapshot[JobTables], event: JobEvent) -> bool:
    # A pause that was written twice must not undo the resume between.
    if not isinstance(event, JobPaused | JobResumed):
        return True
    return insert_absent(snapshot.connection, snapshot.tables.controls, {"event_id": event.meta.event_id})
