"""The events of one job, as they come, to the job's end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from refold.engine.engine import Engine
from schemas.events import DocumentQueued, JobFinished, JobSubmitted, PipelineEvent
from schemas.ids import JobId
from schemas.positions import Position
from streams.log import EventLog, Recorded

TOPICS = ("documents", "jobs")

WAIT_S = 0.25

BACK_EVENTS = 1_000
"""Read first when a job's beginning is looked for, then twice as many, and so on: at most twice what the job spans."""


class JobEvents:
    """Iterates the recorded events of a job after a position; ends when the job has finished or `stop` is set.

    Events stand in offset order within a topic; JobFinished comes last, unless it lies before that position. `unread`
    tells how many events of the log lie beyond what was read: a measure of back-pressure. `at_the_end` is called
    whenever there is none; what it raises ends the iteration.
    """

    def __init__(
        self,
        engine: Engine,
        job_id: JobId,
        *,
        after: Position,
        stop: threading.Event,
        at_the_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._log = engine.parts.log
        self._job_id = job_id
        self._stop = stop
        self._at_the_end = at_the_end
        self._partitions = [tp for topic in TOPICS for tp in self._log.partitions(topic)]
        self._position = after.only(TOPICS)
        self._finished: Recorded | None = None

    def unread(self) -> int:
        """Events of the log that were not read yet, of whatever job."""
        end = self._log.end(self._partitions)
        return sum(offset - self._position.offset(tp) for tp, offset in end.items())

    def __iter__(self) -> Iterator[Recorded]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[Sequence[Recorded]]:
        """The same, as many at a time as there are; never an empty batch."""
        while not self._stop.is_set():
            has_ended = self._has_ended()  # asked first: what the view knows is in the log by now
            yield from self._to_the_end()
            if self._finished is not None:
                # The answers stand in another topic: what the job's end rests on was appended before it.
                yield from self._to_the_end()
                yield [self._finished]
            if self._finished is not None or has_ended:
                return
            self._at_the_end()
            self._engine.check()
            self._log.wait_beyond(self._partitions, self._position, WAIT_S)

    def _has_ended(self) -> bool:
        """Whether the job is over; where that is not read any more, it was before the position where this began."""
        row = self._engine.parts.views.jobs.job(self._job_id)
        return row is not None and row.finished_at is not None

    def _to_the_end(self) -> Iterator[Sequence[Recorded]]:
        for batch in self._log.read(self._partitions, self._position):
            if self._stop.is_set():
                return
            of_job = [r for r in batch.recorded if r.event.meta.job_id == self._job_id]
            ends = [r for r in of_job if isinstance(r.event, JobFinished)]
            self._finished = ends[0] if ends else self._finished
            going_on = [r for r in of_job if not isinstance(r.event, JobFinished)]
            if going_on:
                yield going_on
            self._position = self._position.joined(batch.next_position)


def beginning_of(engine: Engine, job_id: JobId) -> Position:
    """A position before all events of an unfinished job; found by counting back, because clocks may have been set."""
    rows, seen = engine.parts.views.jobs.unfinished()
    taken = next((row.counts.taken for row in rows if row.job_id == job_id), None)
    log = engine.parts.log
    if taken is None:  # it has ended just now
        return log.begin([tp for topic in TOPICS for tp in log.partitions(topic)])
    documents = _back_over(log, seen.only(["documents"]), taken, kind=DocumentQueued, job_id=job_id)
    return documents.joined(_back_over(log, seen.only(["jobs"]), 1, kind=JobSubmitted, job_id=job_id))


def _back_over(log: EventLog, end: Position, count: int, *, kind: type[PipelineEvent], job_id: JobId) -> Position:
    """A position with at least `count` events of `kind` of the job between it and `end`, or where the log begins."""
    partitions, size = list(end), BACK_EVENTS
    begin = log.begin(partitions)
    while count > 0 and not begin.reaches(end):
        start = Position({tp: max(begin.offset(tp), offset - size) for tp, offset in end.items()})
        events = (recorded.event for batch in log.read(partitions, start, end) for recorded in batch.recorded)
        count -= sum(isinstance(event, kind) and event.meta.job_id == job_id for event in events)
        end, size = start, size * 2
    return end
