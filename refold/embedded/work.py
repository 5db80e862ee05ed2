"""Work in the embedded engine: one slot, its attempts, the jobs' bookkeeper, and the planners of its jobs."""

from __future__ import annotations

from collections.abc import Callable

from refold.engine.engine import Engine
from refold.engine.planning_threads import PlanningThreads
from refold.engine.slots import OwnedSlot
from refold.engine.unfinished_jobs import first_of_each
from schemas.errors import UsageError


class EmbeddedWork:
    """Begins with the construction: the slot is taken, and jobs that were interrupted go on.

    What is open is begun at once, so the pool is made ready first: a start is written before its work is done, and in a
    loop of crashes, each while the pool was starting, the first documents would be given up though none was at fault.

    Args:
        engine: The engine it works for.
        slot: The slot with its thread, not started.
        plannings: Plans jobs.
        warm_up: Returns when the pool is ready.
        close_attempts: Ends the pool.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        slot: OwnedSlot,
        plannings: PlanningThreads,
        warm_up: Callable[[], None],
        close_attempts: Callable[[], None],
    ) -> None:
        self._thread = slot.thread
        self.plannings = plannings
        self._close_attempts = close_attempts
        if engine.parts.views.manifest.counts().open_requests:
            warm_up()
        slot.start()
        rows, _ = engine.parts.views.jobs.unfinished()
        for row in first_of_each(rows, engine.parts.location):
            try:
                plannings.resume(row)
            except UsageError:
                continue  # its source is away: it waits unplanned, and `refold jobs list` shows it

    @property
    def is_idle(self) -> bool:
        """True when no document is being processed and no planner is running."""
        return self._thread.is_idle and self.plannings.is_idle

    def stop(self) -> None:
        """Stop planning, finish or release what is in work, and end the pool."""
        self.plannings.stop()
        self._thread.stop()
        self._close_attempts()
