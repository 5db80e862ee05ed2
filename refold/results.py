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
        job_id: The job.
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
