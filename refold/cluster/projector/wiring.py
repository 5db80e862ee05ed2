"""What a projector is made of: how each projection's view is opened and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from projections.consistency.rebuild import finish_rebuild
from projections.fold.follower import Joining
from projections.fold.runner import Runner
from projections.jobs.progress import JobProgress
from projections.jobs.view import JobsView
from projections.manifest.view import ManifestView
from projections.sql.leases import Leases
from projections.sql.view import SqlView, rebuild_sql_view
from projections.stage_results.view import StageResultsView
from refold.cluster.corpus import Corpus
from refold.cluster.holds import Holds
from refold.cluster.projector.generation_news import GenerationNews
from refold.cluster.projector.projector import Projector
from refold.cluster.projector.touches_trimmer import TouchesTrimmer
from refold.cluster.projector.upkeep import Kept, Maker, WentOn
from refold.engine.assembly import SQL_JOINING, now
from refold.engine.engine import SQL_VIEWS
from refold.engine.trimming import RequestsTrimmer

INDEX_JOINING = Joining(max_changes=400, linger_s=0.5)
"""Batches of a few thousand chunks, or half a second: a refresh of an index costs tens of milliseconds."""


def make_projector(corpus: Corpus) -> Projector:
    """A projector of all projections of `corpus`."""
    makers: dict[str, Maker] = {
        **{name: partial(_keep_sql_view, corpus, name) for name in SQL_VIEWS},
        **{name: partial(_keep_index, corpus, name) for name in corpus.homes},
    }
    leases = Leases(corpus.database, duration_s=corpus.cluster.lease_s)
    return Projector(leases, holder=corpus.pipeline_id, makers=makers)


def _keep_sql_view(corpus: Corpus, name: str, went_on: WentOn) -> Kept:
    view, projection = corpus.sql_view(SQL_VIEWS[name], read_only=False), corpus.projections[name]
    if view.is_outdated:
        rebuild_sql_view(corpus.log, projection, view, went_on=went_on)
    after_round = _after_round(corpus, view)
    runner = Runner(corpus.log, projection, view, joining=SQL_JOINING[name], clock=now, after_round=after_round)
    return Kept(runner, view.close)


def _after_round(corpus: Corpus, view: SqlView[Any, Any]) -> Callable[[], object] | None:
    match view:
        case ManifestView():
            return RequestsTrimmer(corpus.log, view).step
        case JobsView():
            return JobProgress(corpus.log, view, pipeline_id=corpus.pipeline_id, clock=now).step
        case StageResultsView():  # nothing waits for it but work that it may save
            return TouchesTrimmer(corpus.artifacts).step
        case _:
            return None


def _keep_index(corpus: Corpus, name: str, went_on: WentOn) -> Kept:
    holds = Holds(corpus.database)
    view, projection = corpus.index(name, before_writing=lambda: holds.refuse(name)), corpus.projections[name]
    view.open()
    if not view.generation.is_live:  # a rebuild was asked for
        finish_rebuild(
            view,
            projection,
            corpus.log,
            scratch=corpus.scratch,
            pipeline_id=corpus.pipeline_id,
            clock=now,
            went_on=went_on,
        )
    # What is kept is this generation: it is reported to the log, and outdated once another one is current.
    generation = view.generation
    news = GenerationNews(corpus.log, generation, pipeline_id=corpus.pipeline_id, clock=now)

    def after_round() -> None:
        news.step()
        view.collect_garbage()

    def is_current() -> bool:
        current = corpus.homes[name].current()
        return current is not None and current.key == generation.key

    runner = Runner(corpus.log, projection, view, joining=INDEX_JOINING, clock=now, after_round=after_round)
    return Kept(runner, view.close, is_current)
