"""The events of topic `jobs`, keyed by job_id (``meta.job_id`` is always set)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.events.meta import Meta, Mode, Priority


class JobOutcome(StrEnum):
    """How a job ended."""

    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTotals:
    """What one stage did over a whole job."""

    documents: int = 0
    cached: int = 0
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """An ingest was asked for; `parameters` holds what planning it again needs (force, globs, limit, …)."""

    meta: Meta
    sources: Sequence[str] = ()
    mode: Mode = Mode.AUTO
    priority: Priority = Priority.NORMAL
    settings_fingerprint: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlanned:
    """All requests of the job are in the log; `requested` counts the distinct ones, removals included."""

    meta: Meta
    requested: int = 0
    unchanged: int = 0
    to_remove: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPaused:
    """What has not started waits."""

    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResumed:
    """A paused job goes on; ignored after JobCancelled."""

    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    """What has not started is answered DocumentCancelled; terminal."""

    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a job is; `checkpoint` is a position to resume a stream from."""

    meta: Meta
    completed_count: int = 0
    failed_count: int = 0
    skipped_count: int = 0
    remaining: int = 0
    documents_per_minute: float = 0.0
    eta_s: float | None = None
    checkpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished:
    """Every request of the job has its final answer.

    `counts` has completed, skipped, failed, removed, cancelled, reindexed, chunks; `stages` is keyed by stage name.
    """

    meta: Meta
    outcome: JobOutcome = JobOutcome.UNKNOWN
    counts: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, StageTotals] = field(default_factory=dict)
    duration_ms: int = 0


JobEvent = JobSubmitted | JobPlanned | JobPaused | JobResumed | JobCancelled | BatchProgress | JobFinished
