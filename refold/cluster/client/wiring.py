"""What a client of a cluster is made of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from projections.index.changes import KEYWORD, VECTOR
from projections.sql.leases import Leases
from projections.sql.view import rebuild_sql_view
from refold.cluster.awaited_views import once_there
from refold.cluster.client.engine import ClientEngine, ClientParts
from refold.cluster.client.keeper_watch import PATIENCE_S, KeeperWatch
from refold.cluster.corpus import Corpus, open_corpus
from refold.cluster.holds import Holds
from refold.engine.assembly import now, planner_of, planning_threads_of, search_of
from refold.engine.engine import Location, Views
from refold.engine.planning_threads import PlanningThreads
from schemas.errors import reached_at_start
from streams.logs.kafka.groups import KafkaGroupPositions
from streams.planning.uploads import Uploads
from streams.sources.local.files import Files

if TYPE_CHECKING:
    from refold.settings.settings import Settings
    from schemas.positions import Position

LEASES_WAITED = 3
"""Leases that may run out one after the other before nobody is expected any more."""


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
        manifest=once_there(lambda: corpus.manifest(read_only=True), timeout_s=wait_s),
        jobs=once_there(lambda: corpus.jobs(read_only=True), timeout_s=wait_s),
        stage_results=once_there(lambda: corpus.stage_results(read_only=True), timeout_s=wait_s),
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
        rebuild_view=partial(_rebuild_view, corpus),
        search=search_of(settings, views, corpus.artifacts),
        planner=planner_of(settings, views.manifest, scratch=corpus.scratch),
        clock=now,
        homes=corpus.homes,
        database=corpus.database,
        watch_keeper=partial(_keeper_watch, Leases(corpus.database, duration_s=corpus.cluster.lease_s)),
        holds=Holds(corpus.database),
        projections=corpus.projections,
        open_group_positions=partial(KafkaGroupPositions, corpus.cluster.corpus, corpus.cluster.kafka),
        make_work=partial(_work, corpus),
        close_servers=corpus.close,
    )


def _keeper_watch(leases: Leases, name: str) -> KeeperWatch:
    return KeeperWatch(name, leases.holders, patience_s=max(PATIENCE_S, leases.duration_s * LEASES_WAITED))


def _work(corpus: Corpus, engine: ClientEngine) -> PlanningThreads:
    uploads = None if corpus.cluster.shares_paths else Uploads(corpus.artifacts, Files())
    return planning_threads_of(engine, uploads=uploads)


def _rebuild_view(corpus: Corpus, name: str) -> Position:
    """Build a SQL view beside the one that a projector keeps, which goes on from there after the swap."""
    view: Any = getattr(corpus, name)(read_only=False)
    try:
        return rebuild_sql_view(corpus.log, corpus.projections[name], view)
    finally:
        view.close()
