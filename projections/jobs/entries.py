"""What the jobs view answers about jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.events import JobOutcome, Mode, Priority, StageTotals
from schemas.ids import DocumentId, EventId, JobId


class JobStatus(StrEnum):
    """What a job is doing; how it ended is its outcome."""

    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """What topic `documents` says of a job: requests taken, their final answers by kind, and chunks completed."""

    taken: int = 0
    completed: int = 0
    skipped: int = 0
    failed: int = 0
    removed: int = 0
    cancelled: int = 0
    reindexed: int = 0
    chunks: int = 0

    @property
    def answered(self) -> int:
        """Requests that have their final answer."""
        return self.completed + self.skipped + self.failed + self.removed + self.cancelled + self.reindexed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What planning found, as JobPlanned says it."""

    planned_at: datetime
    requested: int
    unchanged: int
    to_remove: int
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPace:
    """What the latest BatchProgress said; `answers` is how many final answers it counted."""

    at: datetime
    answers: int
    documents_per_minute: float
    eta_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as of one position.

    `submitted_at` and what else JobSubmitted says are None or empty while only documents of the job were seen.
    """

    job_id: JobId
    status: JobStatus
    is_cancelled: bool
    submitted_at: datetime | None
    sources: Sequence[str]
    mode: Mode
    priority: Priority
    settings_fingerprint: str
    parameters: Mapping[str, str]
    plan: JobPlan | None
    counts: JobCounts
    skips: Mapping[str, int]
    stages: Mapping[str, StageTotals]
    pace: JobPace | None
    finished_at: datetime | None
    outcome: JobOutcome | None
    duration_ms: int | None

    @property
    def remaining(self) -> int:
        """Requests still owed an answer: of all, once they are planned, else of those taken so far."""
        requested = self.plan.requested if self.plan and not self.is_cancelled else self.counts.taken
        return max(requested - self.counts.answered, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """A final failure of one of a job's requests."""

    document_id: DocumentId
    uri: str
    request_id: EventId
    failed_at: datetime
    stage: str
    error_class: str
    error_code: str
    message: str
    hint: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class ControlStates:
    """Jobs that people have paused (and not finished) or cancelled."""

    paused: frozenset[JobId]
    cancelled: frozenset[JobId]
