"""What both engines are made of, in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from projections.fold.follower import Joining
from projections.jobs.view import JobsView
from refold.settings.settings import Settings
from schemas.ids import JobId
from streams.documents.states import KnownDocument
from streams.stages.embed import embedder_spec, load_embedder
from streams.stages.fingerprints import StageSettings, stage_parameters, version_fingerprint

SQL_JOINING: Mapping[str, Joining] = {
    "manifest": Joining(linger_s=0.5),  # the slot's overlay bridges what the manifest is behind
    "jobs": Joining(linger_s=0.3),  # people watch it
    "stage_results": Joining(linger_s=1.0),  # a result not known yet costs work, never correctness
}
"""How long changes wait for company: a batch of a hundred documents costs little more than a batch of one."""

shared_embedder = cache(load_embedder)
"""Loaded once per process, in a tenth of a second; it is thread-safe."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def stage_settings(settings: Settings) -> StageSettings:
    """What the stages need to know."""
    return StageSettings(
        chunk_size=settings.chunking.size,
        chunk_overlap=settings.chunking.overlap,
        max_document_bytes=settings.limits.document_bytes,
        max_text_chars=settings.limits.text_chars,
        timeout_s=settings.limits.parse_timeout_s,
        memory_limit_bytes=settings.limits.memory_bytes,
    )


def expected_fingerprint(stages: StageSettings, known: KnownDocument) -> str:
    """What the fingerprint of the live version of `known` would be, were it made now."""
    return version_fingerprint(
        stages, content_hash=known.content_hash, media_type=known.media_type, metadata=known.metadata or {}
    )


def is_cancelled(jobs: JobsView, job_id: JobId) -> bool:
    """Whether people have cancelled a job."""
    job = jobs.job(job_id)
    return job is not None and job.is_cancelled


def parameters_of(settings: Settings) -> Mapping[str, str]:
    """The fingerprints of the stages, as DocumentStarted.parameters holds them."""
    embedder = embedder_spec(settings.indexes.embedder)
    return stage_parameters(stage_settings(settings), embed_fingerprint=embedder.fingerprint)
