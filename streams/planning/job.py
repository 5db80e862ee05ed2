"""A job: one call to ingest, as its planner knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.events import DocumentRequested, JobSubmitted, Meta, Priority
from schemas.ids import EventId, JobId
from streams.log import EventLog, PositionExpired
from streams.planning.plan import PlanRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What was asked for, as JobSubmitted says it.

    `sources` are uris that open again from anywhere (`Source.source_uri`); `parameters` holds what opening them takes
    (`FolderOptions.as_parameters`).
    """

    job_id: JobId
    sources: Sequence[str]
    rules: PlanRules = field(default_factory=PlanRules)
    priority: Priority = Priority.NORMAL
    settings_fingerprint: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def submitted(self, meta: Meta) -> JobSubmitted:
        """The event that says all of this."""
        return JobSubmitted(
            meta=meta,
            sources=tuple(self.sources),
            mode=self.rules.mode,
            priority=self.priority,
            settings_fingerprint=self.settings_fingerprint,
            parameters={**self.parameters, **self.rules.as_parameters()},
        )


def requests_in_log(log: EventLog, job_id: JobId, *, taken: Callable[[JobId], Iterable[EventId]]) -> Iterator[EventId]:
    """The ids of all requests of a job that are in the log, some of them twice: what a resumed planner leaves out.

    `taken` gives those that were taken, by everything that `documents` holds when it is called. It is called last: a
    request that is taken and trimmed meanwhile is among them.
    """
    yield from _left_in_requests(log, job_id)
    yield from taken(job_id)


def _left_in_requests(log: EventLog, job_id: JobId) -> Iterator[EventId]:
    partitions = log.partitions("requests")
    while True:
        try:
            for batch in log.read(partitions, log.begin(partitions), log.end(partitions)):
                for recorded in batch.recorded:
                    if isinstance(recorded.event, DocumentRequested) and recorded.event.meta.job_id == job_id:
                        yield recorded.event.meta.event_id
        except PositionExpired:
            continue  # trimmed since `begin` was asked: what is missing was taken
        return
