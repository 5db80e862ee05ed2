"""What the embedded engine is made of: SQLite, local files, Tantivy and Qdrant Edge behind its ports.

The processes of a cluster have wirings of their own, over `refold/cluster/connections.py`. What all of them share is
made in `refold/engine/assembly.py` and `refold/engine/slots.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from projections.backends.folder import FolderGenerations
from projections.backends.qdrant.edge import QdrantEdgeVectorBackend
from projections.backends.tantivy.backend import TantivyKeywordBackend
from projections.consistency.rebuild import RebuildReport, rebuild_index
from projections.fold.follower import Joining
from projections.fold.projection import Projection
from projections.fold.runner import Runner
from projections.index.books.books import open_index_database
from projections.index.changes import IndexSpec, KeywordIndex
from projections.index.view.home import IndexHome
from projections.index.view.view import IndexView
from projections.jobs.progress import JobProgress
from projections.jobs.view import JobsView
from projections.manifest.view import ManifestView
from projections.sql.databases import open_sqlite
from projections.stage_results.view import StageResultsView
from refold.embedded.engine import EmbeddedEngine, EmbeddedParts
from refold.embedded.kept_index import KeptIndex
from refold.embedded.work import EmbeddedWork
from refold.engine.assembly import (
    SQL_JOINING,
    now,
    parameters_of,
    planner_of,
    planning_threads_of,
    projections_of,
    search_of,
    vector_index_of,
)
from refold.engine.data_folder import DataFolder
from refold.engine.engine import Engine, Location, Views
from refold.engine.slots import attempts_of, slot_of
from refold.engine.trimming import RequestsTrimmer
from refold.process.freed_memory import FreedMemory
from refold.settings.settings import Settings
from schemas.ids import random_id
from streams.artifact_stores.local import LocalArtifacts
from streams.logs.sqlite.log import SqliteLog
from streams.process_log import ProcessLogger
from streams.slot.workload import Workload

_log = ProcessLogger(__name__)

KEYWORD_BACKEND = TantivyKeywordBackend
"""Where the engine keeps its words; tests of the engine break it by this name."""

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
    return EmbeddedParts(
        settings=settings,
        location=Location(name=str(folder.path), scratch=folder.views, folder=folder.path),
        folder=folder,
        pipeline_id=pipeline_id,
        log=log,
        artifacts=artifacts,
        views=views,
        projections=projections,
        make_runner=_runner,
        make_index=_index,
        search=search_of(settings, views, artifacts),
        planner=planner_of(settings, views.manifest, scratch=folder.views),
        make_work=_work,
        clock=now,
    )


def _views(
    settings: Settings, folder: DataFolder, log: SqliteLog, artifacts: LocalArtifacts
) -> tuple[Views, Mapping[str, Projection[Any]]]:
    vector, keyword = vector_index_of(settings), KeywordIndex()
    database = open_index_database(folder.views / "indexes.sqlite")

    def index_view(spec: IndexSpec, make: Callable[..., Any]) -> IndexView[Any]:
        store = FolderGenerations(folder.indexes / spec.name, make)
        home = IndexHome(spec, store=store, database=database, log_id=log.log_id)
        return IndexView(home, artifacts=artifacts, clock=now, longest_query_s=settings.indexes.longest_query_s)

    views = Views(
        manifest=ManifestView(open_sqlite(folder.views / "manifest.sqlite"), log_id=log.log_id),
        jobs=JobsView(open_sqlite(folder.views / "jobs.sqlite"), log_id=log.log_id),
        stage_results=StageResultsView(open_sqlite(folder.views / "stage_results.sqlite"), log_id=log.log_id),
        vector=index_view(vector.spec, partial(QdrantEdgeVectorBackend, dim=vector.spec.dim or 0)),
        keyword=index_view(keyword.spec, KEYWORD_BACKEND),
    )
    return views, projections_of(vector, keyword)


def _runner(parts: EmbeddedParts, name: str, is_quiet: Callable[[], bool]) -> Runner[Any]:
    return Runner(
        parts.log,
        parts.projections[name],
        parts.views.sql(name),
        joining=SQL_JOINING[name],
        clock=now,
        after_round=_after_round(parts, name),
        is_quiet=is_quiet,
    )


def _after_round(parts: EmbeddedParts, name: str) -> Callable[[], object] | None:
    """What the thread that keeps a SQL view does besides, whenever it has gone round."""
    match name:
        case "manifest":
            return RequestsTrimmer(parts.log, parts.views.manifest).step
        case "jobs":
            return JobProgress(parts.log, parts.views.jobs, pipeline_id=parts.pipeline_id, clock=now).step
        case "stage_results":
            return FreedMemory().step
        case _:
            return None


def _index(parts: EmbeddedParts, name: str, is_quiet: Callable[[], bool]) -> KeptIndex:
    view, projection = parts.views.indexes[name], parts.projections[name]

    def make_runner(on_failure: Callable[[Exception], object]) -> Runner[Any]:
        return Runner(
            parts.log,
            projection,
            view,
            joining=INDEX_JOINING,
            clock=now,
            after_round=view.collect_garbage,
            is_quiet=is_quiet,
            on_failure=on_failure,
        )

    def rebuild(on_progress: Callable[[int], None]) -> RebuildReport:
        return rebuild_index(
            view,
            projection,
            parts.log,
            scratch=parts.location.scratch,
            pipeline_id=parts.pipeline_id,
            clock=now,
            on_progress=on_progress,
        )

    return KeptIndex(view, make_runner=make_runner, rebuild=rebuild)


def _work(engine: EmbeddedEngine) -> EmbeddedWork:
    parts = engine.parts
    attempts = attempts_of(parts, parts.views.stage_results)
    owned = slot_of(
        0,
        parts,
        states=parts.views.manifest,
        attempts=attempts,
        parameters=parameters_of(parts.settings),
        workload=Workload(parts.settings.pool.in_flight),
        loop=engine.loop,
        on_failure=engine.fail,
        held_jobs=engine.readers.held_jobs,
    )
    engine.readers.when_caught_up(owned.thread.wake)
    return EmbeddedWork(
        engine,
        slot=owned,
        plannings=planning_threads_of(engine),
        warm_up=attempts.warm_up,
        close_attempts=lambda: asyncio.run_coroutine_threadsafe(attempts.close(), engine.loop).result(),
    )
