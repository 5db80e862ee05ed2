"""What every event begins with, and the small values that several events share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.ids import EventId, JobId


class Priority(StrEnum):
    """How soon a request is chosen; the default scheduler weighs 16:4:1."""

    UNKNOWN = "UNKNOWN"
    CRITICAL = "CRITICAL"
    NORMAL = "NORMAL"
    BATCH = "BATCH"


class Mode(StrEnum):
    """Which documents an ingest may touch; `streams/slot/decide.py` holds the decision table."""

    UNKNOWN = "UNKNOWN"
    AUTO = "AUTO"
    ADD_ONLY = "ADD_ONLY"
    UPDATE_ONLY = "UPDATE_ONLY"
    SKIP_EXISTING = "SKIP_EXISTING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Who wrote an event, when, and because of what.

    Attributes:
        event_id: Deterministic (`schemas/ids.py`), so that writing it again gives the same id.
        occurred_at: UTC, microseconds; non-decreasing within a partition.
        pipeline_id: The run (one process lifetime) that wrote it; `run_id` in logs, metrics and traces.
        job_id: The job it belongs to.
        causation_id: The event that brought it about.
        sequence: In topic `documents`: per document, from 1, without holes; 0 elsewhere.
    """

    event_id: EventId
    occurred_at: datetime
    pipeline_id: str
    job_id: JobId | None = None
    causation_id: EventId | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """A blob in the artifact store: its SHA-256 (64 lower-case hex digits) and its size in bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an adapter saw at a source without reading the content.

    Attributes:
        uri: Where the content can be fetched; it may differ from the document's canonical uri
            (a folder that moves, ``--as NAME``).
        size_bytes: The size seen, or None where the source does not tell.
        modified_at_ns: Nanoseconds since the epoch, or None.
        validators: What else tells one state of the content from another: ``etag``, ``inode``, …
    """

    uri: str
    size_bytes: int | None = None
    modified_at_ns: int | None = None
    validators: Mapping[str, str] = field(default_factory=dict)
