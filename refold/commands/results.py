"""What the public API answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.ids import DocumentId, JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentResult:
    """The final answer to one request.

    `status` is completed, unchanged, skipped, failed, removed, cancelled or reindexed; parked is said of a version that
    is completed and that an index could not apply, so that it cannot be searched. `version` is 0 where the answer names
    none; the error fields are set for failed and parked.
    """

    document_id: DocumentId
    uri: str
    status: str
    version: int = 0
    chunks: int = 0
    error_class: str | None = None
    error_code: str | None = None
    message: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What a whole ingest came to.

    Attributes:
        job_id: The job; the last of them, where interrupted ones came first.
        resumed: Interrupted jobs of the same sources and rules that it went on with first; all else is of all of them.
        outcome: SUCCEEDED, PARTIAL, FAILED or CANCELLED.
        searchable: Whether all of it is: false if a document is parked.
        documents: Every answer but failures and parked documents.
        errors: The failures, and what is parked.
        counts: By status.
        duration_s: Wall time in seconds.
        position: Give it to `search(wait_for=…)` to read your own writes.
    """

    job_id: JobId
    outcome: str
    documents: Sequence[DocumentResult]
    errors: Sequence[DocumentResult]
    searchable: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    duration_s: float = 0.0
    position: str = ""
    resumed: Sequence[JobId] = ()


def joint_outcome(ended: Sequence[tuple[str, int]]) -> str:
    """How jobs ended together, by outcome and requests of each; one without requests says nothing beside others."""
    outcomes = {outcome for outcome, requested in ended if requested} or {ended[-1][0]}
    if len(outcomes) == 1:
        return outcomes.pop()
    return "CANCELLED" if "CANCELLED" in outcomes else "PARTIAL"
