"""The composition root: the one place that names concrete technology."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from projections.backends.folder_generations import FolderGenerations
from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.consistency.rebuild import rebuild_index
from projections.fold.follower import Joining
from projections.fold.projection import Projection
from projections.fold.runner import Runner
from projections.index.books.books import open_index_database
from projections.index.keyword_index import KEYWORD, KeywordIndex
from projections.index.vector_index import VECTOR, VectorIndex
from projections.index.view.home import IndexHome
from projections.index.view.view import IndexView
from projections.jobs.progress import JobProgress
from projections.jobs.view import JobsProjection, JobsView
from projections.manifest.view import ManifestProjection, ManifestView
from projections.search.search import Search
from projections.sql.engine import open_sqlite
from projections.sql.rebuild import rebuild_sql_view
from projections.stage_results.view import StageResultsProjection, StageResultsView
from refold.embedded.engine import EmbeddedEngine, EmbeddedParts
from refold.embedded.kept_index import KeptIndex
from refold.embedded.work import EmbeddedWork
from refold.engine.both_engines import (
    SQL_JOINING,
    expected_fingerprint,
    is_cancelled,
    now,
    parameters_of,
    shared_embedder,
    stage_settings,
)
from refold.engine.data_folder import DataFolder
from refold.engine.engine import Engine, Location, Views
from refold.engine.planning_threads import PlanningThreads
from refold.engine.trimming import RequestsTrimmer
from refold.process.freed_memory import FreedMemory
from refold.settings.settings import Settings
from schemas.ids import random_id
from schemas.positions import Position
from streams.artifact_stores.local import LocalArtifacts
from streams.attempts.attempts import PooledAttempts
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.log import EventLog
from streams.logs.sqlite.log import SqliteLog
from streams.planning.planner import Planner
from streams.planning.publisher import Publisher
from streams.process_log import ProcessLogger
from streams.slot.answers import DocumentEventWriter
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot, SlotParts
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from streams.sources.local.files import Files
from streams.stages.embed import embedder_spec
from streams.stages.fingerprints import StageSettings

_log = ProcessLogger(__name__)

INDEX_JOINING = Joining(max_changes=400, linger_s=1.0)
"""Batches of a few thousand chunks, or a second: a commit of an index costs tens of milliseconds."""


def open_engine(settings: Settings, *, folder: DataFolder) -> Engine:
    """The engine of `folder`, to be entered; the caller holds the folder's lock.

    Raises:
        MachineError: the folder cannot be used.
    """
    folder.create()
    return EmbeddedEngine(_parts(settings, folder))


def _parts(settings: Settings, folder: DataFolder) -> EmbeddedParts:
    log = SqliteLog(folder.log)
    artifacts = LocalArtifacts(folder.artifacts, clock=now)
    views, projections = _views(settings, folder, log, artifacts)
    pipeline_id = random_id()
    _log.info("opened", run_id=pipeline_id)
    stages, parameters = stage_settings(settings), parameters_of(settings)
    progress = JobProgress(log, views.jobs, pipeline_id=pipeline_id, clock=now)
    return EmbeddedParts(
        settings=settings,
        location=Location(name=str(folder.path), scratch=folder.views, folder=folder.path),
        folder=folder,
        pipeline_id=pipeline_id,
        log=log,
        artifacts=artifacts,
        views=views,
        make_runner=partial(_runner, log=log, views=views, projections=projections, progress=progress),
        make_index=partial(
            _index, log=log, views=views, projections=projections, scratch=folder.views, pipeline_id=pipeline_id
        ),
        rebuild_view=lambda name: _rebuild_view(name, log, views, projections),
        search=Search(
            vector=views.vector,
            keyword=views.keyword,
            embedder=partial(shared_embedder, settings.indexes.embedder),
            artifacts=artifacts,
        ),
        planner=Planner(
            views.manifest,
            parameters=parameters,
            expected_fingerprint=partial(expected_fingerprint, stages),
            scratch=folder.views,
        ),
        make_work=partial(_work, parameters=parameters, stages=stages),
        clock=now,
    )


def _views(
    settings: Settings, folder: DataFolder, log: SqliteLog, artifacts: LocalArtifacts
) -> tuple[Views, Mapping[str, Projection[Any]]]:
    embedder = embedder_spec(settings.indexes.embedder)
    vector_index = VectorIndex(embedder=embedder.name, dim=embedder.dim)
    keyword_index = KeywordIndex()
    database = open_index_database(folder.views / "indexes.sqlite")
    views = Views(
        manifest=ManifestView(open_sqlite(folder.views / "manifest.sqlite"), log_id=log.log_id),
        jobs=JobsView(open_sqlite(folder.views / "jobs.sqlite"), log_id=log.log_id),
        stage_results=StageResultsView(open_sqlite(folder.views / "stage_results.sqlite"), log_id=log.log_id),
        vector=IndexView(
            IndexHome(
                vector_index.spec,
                store=FolderGenerations(folder.indexes / VECTOR, partial(QdrantEdgeVectorBackend, dim=embedder.dim)),
                database=database,
                log_id=log.log_id,
            ),
            artifacts=artifacts,
            clock=now,
            longest_query_s=settings.indexes.longest_query_s,
        ),
        keyword=IndexView(
            IndexHome(
                keyword_index.spec,
                store=FolderGenerations(folder.indexes / KEYWORD, TantivyKeywordBackend),
                database=database,
                log_id=log.log_id,
            ),
            artifacts=artifacts,
            clock=now,
            longest_query_s=settings.indexes.longest_query_s,
        ),
    )
    projections: Mapping[str, Projection[Any]] = {
        "manifest": ManifestProjection(),
        "jobs": JobsProjection(),
        "stage_results": StageResultsProjection(),
        VECTOR: vector_index,
        KEYWORD: keyword_index,
    }
    return views, projections


def _runner(
    name: str,
    is_quiet: Callable[[], bool],
    *,
    log: EventLog,
    views: Views,
    projections: Mapping[str, Projection[Any]],
    progress: JobProgress,
) -> Runner[Any]:
    after_round: Mapping[str, Callable[[], object]] = {
        "jobs": progress.step,
        "stage_results": FreedMemory().step,
        "manifest": RequestsTrimmer(log, views.manifest).step,
    }
    return Runner(
        log,
        projections[name],
        views.sql(name),
        joining=SQL_JOINING[name],
        clock=now,
        after_round=after_round[name],
        is_quiet=is_quiet,
    )


def _index(
    name: str,
    is_quiet: Callable[[], bool],
    *,
    log: EventLog,
    views: Views,
    projections: Mapping[str, Projection[Any]],
    scratch: Path,
    pipeline_id: str,
) -> KeptIndex:
    view, projection = views.indexes[name], projections[name]

    def make_runner(on_failure: Callable[[Exception], object]) -> Runner[Any]:
        return Runner(
            log,
            projection,
            view,
            joining=INDEX_JOINING,
            clock=now,
            after_round=view.collect_garbage,
            is_quiet=is_quiet,
            on_failure=on_failure,
        )

    return KeptIndex(
        view,
        make_runner=make_runner,
        rebuild=partial(rebuild_index, view, projection, log, scratch=scratch, pipeline_id=pipeline_id, clock=now),
    )


def _rebuild_view(name: str, log: EventLog, views: Views, projections: Mapping[str, Projection[Any]]) -> Position:
    return rebuild_sql_view(log, projections[name], getattr(views, name))


def _work(engine: EmbeddedEngine, *, parameters: Mapping[str, str], stages: StageSettings) -> EmbeddedWork:
    parts, settings = engine.parts, engine.parts.settings
    attempts = _attempts(engine, stages)
    thread = SlotThread(log=parts.log, attempts=attempts, loop=engine.loop, on_failure=engine.fail)
    slot = Slot(
        0,
        SlotParts(
            log=parts.log,
            states=parts.views.manifest,
            artifacts=parts.artifacts,
            writer=DocumentEventWriter(
                pipeline_id=parts.pipeline_id,
                retries=RetryPolicy(
                    max_attempts=settings.retries.max_attempts,
                    base_delay_s=settings.retries.base_delay_s,
                    max_delay_s=settings.retries.max_delay_s,
                ),
                generator=random.Random(parts.pipeline_id),  # noqa: S311 - jitter, no secret
            ),
            workload=Workload(settings.pool.in_flight),
            begin=thread.begin,
            parameters=parameters,
            clock=now,
            monotonic=time.monotonic,
            wake=thread.wake,
            held_jobs=engine.readers.held_jobs,
            max_crashes=settings.retries.max_crashes,
        ),
    )
    engine.readers.when_caught_up(thread.wake)
    return EmbeddedWork(
        engine,
        thread=thread,
        slot=slot,
        plannings=PlanningThreads(
            engine,
            publisher=Publisher(parts.log, pipeline_id=parts.pipeline_id, now=now, scratch=parts.folder.views),
            is_cancelled=partial(is_cancelled, parts.views.jobs),
        ),
        warm_up=attempts.warm_up,
        close_attempts=lambda: asyncio.run_coroutine_threadsafe(attempts.close(), engine.loop).result(),
    )


def _attempts(engine: EmbeddedEngine, stages: StageSettings) -> PooledAttempts:
    settings = engine.parts.settings
    embedder = embedder_spec(settings.indexes.embedder)
    pool = StagePool(
        PoolConfiguration(settings=stages, embedder=embedder),
        processes=settings.pool.processes or os.cpu_count() or 1,
    )
    return PooledAttempts(
        pool,
        readers={"folder": Files()},
        artifacts=engine.parts.artifacts,
        stage_results=engine.parts.views.stage_results,
        in_flight_bytes=settings.pool.in_flight_bytes,
        uses_cache=settings.stage_cache,
    )
