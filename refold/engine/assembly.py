"""What both engines are made of: each part is made here once, from the settings and what the wirings have opened.

Slots and their attempts: `slots.py`, which a process that only asks and plans never loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from projections.fold.follower import Joining
from projections.fold.projection import Projection
from projections.index.changes import KEYWORD, VECTOR, KeywordIndex, VectorIndex
from projections.manifest.view import ManifestView
from projections.search.search import Search
from refold.engine.engine import SQL_VIEWS, Engine, Views
from refold.engine.planning_threads import PlanningThreads
from refold.settings.settings import Settings
from schemas.ids import JobId
from streams.artifacts import ArtifactStore
from streams.documents.states import KnownDocument
from streams.planning.planner import Planner
from streams.planning.publisher import Publisher
from streams.planning.uploads import Uploads
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


def parameters_of(settings: Settings) -> Mapping[str, str]:
    """The fingerprints of the stages, as DocumentStarted.parameters holds them."""
    embedder = embedder_spec(settings.indexes.embedder)
    return stage_parameters(stage_settings(settings), embed_fingerprint=embedder.fingerprint)


def vector_index_of(settings: Settings) -> VectorIndex:
    """The vector index of the embedder that `settings` name."""
    embedder = embedder_spec(settings.indexes.embedder)
    return VectorIndex(embedder=embedder.name, dim=embedder.dim)


def projections_of(vector: VectorIndex, keyword: KeywordIndex) -> Mapping[str, Projection[Any]]:
    """All projections by name, the two indexes among them."""
    return {
        **{name: view.projection for name, view in SQL_VIEWS.items()},
        VECTOR: vector,
        KEYWORD: keyword,
    }


def search_of(settings: Settings, views: Views, artifacts: ArtifactStore) -> Search:
    """Search over both indexes; the embedder is loaded by the first query that needs it."""
    return Search(
        vector=views.vector,
        keyword=views.keyword,
        embedder=partial(shared_embedder, settings.indexes.embedder),
        artifacts=artifacts,
    )


def planner_of(settings: Settings, manifest: ManifestView, *, scratch: Path) -> Planner:
    """What compares sources with the manifest, under the fingerprints of `settings`."""
    stages = stage_settings(settings)

    def expected_fingerprint(known: KnownDocument) -> str:
        return version_fingerprint(
            stages, content_hash=known.content_hash, media_type=known.media_type, metadata=known.metadata or {}
        )

    return Planner(
        manifest, parameters=parameters_of(settings), expected_fingerprint=expected_fingerprint, scratch=scratch
    )


def planning_threads_of(engine: Engine, *, uploads: Uploads | None = None) -> PlanningThreads:
    """What plans jobs of `engine`; `uploads` where the readers of its requests do not share its files."""
    parts = engine.parts

    def is_cancelled(job_id: JobId) -> bool:
        job = parts.views.jobs.job(job_id)
        return job is not None and job.is_cancelled

    publisher = Publisher(
        parts.log, pipeline_id=parts.pipeline_id, now=now, scratch=parts.location.scratch, uploads=uploads
    )
    return PlanningThreads(engine, publisher=publisher, is_cancelled=is_cancelled)
