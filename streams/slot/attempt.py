"""What the slot asks of the stages, and what they answer: one attempt at one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.events import (
    ArtifactRef,
    DocumentCompleted,
    DocumentQueued,
    ErrorClass,
    Finding,
    Stage,
    StageReport,
    VectorsRef,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: the request, the version that is live now, and which number of attempt this is (from 1)."""

    request: DocumentQueued
    live: DocumentCompleted | None
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """A new version's contents; every artifact named here was put or touched in the store, and not yet synced."""

    finding: Finding | None
    content_hash: str
    fingerprint: str
    stages: Sequence[StageReport]
    text: ArtifactRef
    chunks: ArtifactRef
    vectors: Sequence[VectorsRef]
    chunk_count: int
    media_type: str
    title: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The content was read and its fingerprint is the live version's; `finding` is what the source looks like now."""

    finding: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsProduced:
    """The vectors that a REINDEX asked for."""

    vectors: VectorsRef


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """Why the attempt gave nothing; `retry_after_s` is the source's own wish, if it had one."""

    stage: Stage
    stages: Sequence[StageReport]
    error_class: ErrorClass
    error_code: str
    message: str
    hint: str | None = None
    retry_after_s: float | None = None


AttemptOutcome = Produced | Unchanged | VectorsProduced | AttemptFailed


class Attempts(Protocol):
    """Runs attempts; the implementation is `streams/attempts/attempts.py`."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """The stages' fingerprints as DocumentStarted.parameters keeps them."""

    async def run(self, attempt: Attempt) -> AttemptOutcome:
        """Run the stages of one attempt; never raises but FatalError (a full disk, a damaged store)."""

    async def close(self) -> None:
        """Stop the pool and everything in flight."""
