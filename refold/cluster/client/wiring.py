"""What a client of a cluster is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.index.changes import KEYWORD, VECTOR
from projections.jobs.view import JobsView
from projections.manifest.view import ManifestView
from projections.stage_results.view import StageResultsView
from refold.cluster.awaited_views import once_there
from refold.cluster.client.engine import ClientEngine, ClientParts
from refold.cluster.corpus import Corpus, open_corpus
from refold.engine.assembly import now, planner_of, search_of
from refold.engine.engine import Location, Views
from schemas.errors import reached_at_start

if TYPE_CHECKING:
    from refold.settings.settings import Settings


def open_client(settings: Settings) -> ClientEngine:
    """The engine of a command or a program beside the cluster, to be entered.

    Raises:
        UsageError: a server is not named.
        UnreachableError: one does not answer, or no projector has made the views within `lock_wait_s`.
    """
    corpus = open_corpus(settings)
    try:
        with reached_at_start():
            return ClientEngine(_parts(corpus))
    except BaseException:
        corpus.close()
        raise


def _parts(corpus: Corpus) -> ClientParts:
    settings = corpus.settings
    wait_s = settings.lock_wait_s
    views = Views(
        manifest=once_there(lambda: corpus.sql_view(ManifestView, read_only=True), timeout_s=wait_s),
        jobs=once_there(lambda: corpus.sql_view(JobsView, read_only=True), timeout_s=wait_s),
        stage_results=once_there(lambda: corpus.sql_view(StageResultsView, read_only=True), timeout_s=wait_s),
        vector=corpus.index(VECTOR),
        keyword=corpus.index(KEYWORD),
    )
    return ClientParts(
        settings=settings,
        location=Location(name=f"refold.{corpus.cluster.corpus}", scratch=corpus.scratch),
        pipeline_id=corpus.pipeline_id,
        log=corpus.log,
        artifacts=corpus.artifacts,
        views=views,
        search=search_of(settings, views, corpus.artifacts),
        planner=planner_of(settings, views.manifest, scratch=corpus.scratch),
        clock=now,
        corpus=corpus,
        projections=corpus.projections,
    )
