"""The events of an ingest: of the unfinished jobs that it goes on with, and then of its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial

from refold.api.lifetime import Lifetime
from refold.api.stream import EventStream
from refold.commands.waiting import wait_for_position
from refold.engine.engine import SQL_VIEWS, Engine
from refold.engine.job_events import beginning_of
from refold.engine.planning_thread import PlanningThread
from refold.engine.unfinished_jobs import FollowedJob, OpenedJob, jobs_of_ingest
from schemas.events import PipelineEvent
from schemas.ids import JobId
from schemas.positions import Position

StreamOf = Callable[[JobId, Position], EventStream]
"""Makes the stream of a job's events after a position."""


async def events_of_ingest(
    lifetime: Lifetime, asked: OpenedJob, *, after: Position | None, stream_of: StreamOf
) -> AsyncGenerator[PipelineEvent]:
    """All events of an ingest of `asked`, to the JobFinished of the last job that it follows.

    An unfinished job that it goes on with is told from its beginning: what was answered before counts, too. `after` is
    where to begin instead, in a job that is in the log by the id of the one asked for.
    """
    jobs = jobs_of_ingest(lifetime.engine, asked)
    while (found := await lifetime.lend(partial(_next_of, jobs, after))) is not None:
        followed, begin = found
        stream = stream_of(followed.job.job_id, begin)
        stream.planning = planning = await lifetime.lend(partial(_planned_on, followed))
        try:
            async with aclosing(aiter(stream)) as events:
                async for event in events:
                    yield event
        finally:
            if planning is not None:
                planning.leave()


def _next_of(
    jobs: Iterator[FollowedJob], after: Position | None, engine: Engine, stop: threading.Event
) -> tuple[FollowedJob, Position] | None:
    """The next job and where its stream begins; None after the last."""
    end = engine.end()
    wait_for_position(engine, end, stop, SQL_VIEWS)
    followed = next(jobs, None)
    if followed is None:
        return None
    if after is None:
        after = end if followed.row is None else beginning_of(engine, followed.job.job_id)
    engine.work()
    return followed, after


def _planned_on(followed: FollowedJob, engine: Engine, stop: threading.Event) -> PlanningThread | None:
    """The planning, begun; left again at once if its caller has gone and will never hear of it."""
    planning = None if followed.is_planned else engine.work().plan(followed.job, followed.sources)
    if planning is not None and stop.is_set():
        planning.leave()
    return planning
