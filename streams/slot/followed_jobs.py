"""What people have said about jobs: the fold of topic `jobs` that every slot keeps."""

from __future__ import annotations

from collections.abc import Collection

from schemas.events import JobCancelled, JobFinished, JobPaused, JobResumed
from schemas.ids import JobId
from schemas.positions import Position
from streams.log import EventLog


class FollowedJobs:
    """Follows the whole `jobs` topic; a slot reads it to the end before each round of choices.

    Keeps ids of paused and cancelled jobs only: its size is the number of interventions, not of documents.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._partitions = log.partitions("jobs")
        self._position = Position()
        self._paused: set[JobId] = set()
        self._cancelled: set[JobId] = set()
        self._held: frozenset[JobId] = frozenset()

    def hold(self, job_ids: Collection[JobId]) -> bool:
        """No document of `job_ids`, and only of these, may start; whether another one may now that might not before."""
        before, self._held = self._held, frozenset(job_ids)
        return not before <= self._held

    def follow(self) -> bool:
        """Read to the end; whether anything changed that lets more be chosen than before."""
        changed = False
        for batch in self._log.read(self._partitions, self._position):
            for recorded in batch.recorded:
                job_id = recorded.event.meta.job_id
                if job_id is not None:
                    changed |= self._fold(job_id, recorded.event)
            self._position = self._position.joined(batch.next_position)
        return changed

    def _fold(self, job_id: JobId, event: object) -> bool:
        match event:
            case JobPaused() if job_id not in self._cancelled:
                self._paused.add(job_id)
                return False
            case JobResumed() if job_id in self._paused:
                self._paused.discard(job_id)
                return True
            case JobCancelled() if job_id not in self._cancelled:
                self._paused.discard(job_id)
                self._cancelled.add(job_id)
                return True
            case JobFinished() if job_id in self._paused:
                self._paused.discard(job_id)  # what was asked for later, and passed over, may go on
                return True
            case _:
                return False

    @property
    def paused(self) -> Collection[JobId]:
        """The jobs whose requests are passed over."""
        return self._paused

    @property
    def cancelled(self) -> Collection[JobId]:
        """The jobs whose requests that have not started are answered DocumentCancelled."""
        return self._cancelled

    @property
    def without_starts(self) -> Collection[JobId]:
        """The jobs of which nothing may start now: paused, or held back."""
        return self._paused | self._held if self._held else self._paused

    @property
    def held(self) -> Collection[JobId]:
        """The jobs of which no document may start now, for their readers are behind."""
        return self._held
