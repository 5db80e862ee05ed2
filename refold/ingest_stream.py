"""The events of an ingest: of the unfinished jobs that it goes on with, and then of its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from projections.job_entries import JobState
from refold.engine import SQL_VIEWS, Engine
from refold.event_stream import EventStream
from refold.job_events import beginning_of
from refold.lifetime import Lifetime
from refold.planning import Planning
from refold.unfinished_jobs import jobs_of_ingest, planned_on
from refold.waiting import wait_for_position
from schemas.events import PipelineEvent
from schemas.ids import JobId
from schemas.positions import Position
from streams.job import Job

StreamOf = Callable[[JobId, Position], EventStream]
"""Makes the stream of a job's events after a position."""


@dataclass(frozen=True, slots=True)
class _Followed:
    job: Job
    row: JobState | None
    after: Position

    def planned_on(self, engine: Engine, stop: threading.Event) -> Planning | None:
        """The planning, begun; whoever has left by now will never hear of it, and has left it, too."""
        planning = planned_on(engine, self.job, self.row)
        if planning is not None and stop.is_set():
            planning.leave()
        return planning


async def events_of_ingest(
    lifetime: Lifetime, job: Job, *, after: Position | None, stream_of: StreamOf
) -> AsyncGenerator[PipelineEvent]:
    """All events of an ingest of `job`, to the JobFinished of the last job that it follows.

    An unfinished job that it goes on with is told from its beginning: what was answered before counts, too. `after` is
    where to begin instead, in a job that is in the log by the id of `job`.
    """
    jobs = jobs_of_ingest(lifetime.engine, job)
    while (followed := await lifetime.lend(partial(_next_of, jobs, after))) is not None:
        stream = stream_of(followed.job.job_id, followed.after)
        stream.planning = planning = await lifetime.lend(followed.planned_on)
        try:
            async with aclosing(aiter(stream)) as events:
                async for event in events:
                    yield event
        finally:
            if planning is not None:
                planning.leave()


def _next_of(
    jobs: Iterator[tuple[Job, JobState | None]], after: Position | None, engine: Engine, stop: threading.Event
) -> _Followed | None:
    end = engine.end()
    wait_for_position(engine, end, stop, SQL_VIEWS)
    job, row = next(jobs, (None, None))
    if job is None:
        return None
    if after is None:
        after = end if row is None else beginning_of(engine, job.job_id)
    engine.work()
    return _Followed(job, row, after)
