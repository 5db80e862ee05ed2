"""A corpus in a cluster, as every process of it opens it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine as SqlEngine

from projections.index.changes import KEYWORD, VECTOR, KeywordIndex
from projections.index.view.home import IndexHome
from projections.index.view.view import IndexView
from projections.sql.clock import DatabaseClock
from projections.sql.view import SqlView
from refold.cluster.connections import keyword_home, open_artifacts, open_log, open_sql, vector_home
from refold.engine.assembly import now, projections_of, vector_index_of
from refold.engine.engine import Opened
from refold.settings.cluster import ClusterSettings
from refold.settings.settings import Settings
from schemas.errors import TransientError, UnreachableError, reached_at_start
from schemas.ids import random_id
from streams.artifact_stores.objects import ObjectArtifacts
from streams.logs.kafka.log import KafkaLog
from streams.process_log import ProcessLogger

SqlViewT = TypeVar("SqlViewT", bound=SqlView[Any, Any])

_log = ProcessLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus(Opened):
    """The servers of one corpus, connected to; `close` lets go of them."""

    log: KafkaLog
    artifacts: ObjectArtifacts
    database: SqlEngine
    homes: Mapping[str, IndexHome[Any]]
    scratch: Path
    closing: ExitStack

    @property
    def cluster(self) -> ClusterSettings:
        """Where everything is."""
        return self.settings.cluster

    def sql_view(self, kind: type[SqlViewT], *, read_only: bool) -> SqlViewT:
        """A SQL view, with connections of its own that it closes."""
        database = open_sql(self.cluster, read_only=read_only, owner=self.pipeline_id)
        return kind(database, log_id=self.log.log_id, is_read_only=read_only)

    def index(self, name: str, *, before_writing: Callable[[], None] = lambda: None) -> IndexView[Any]:
        """An index, not open yet; see IndexView."""
        return IndexView(
            self.homes[name],
            artifacts=self.artifacts,
            clock=DatabaseClock(self.database),  # two projectors, one after the other, may have clocks that differ
            longest_query_s=self.settings.indexes.longest_query_s,
            before_writing=before_writing,
        )

    def close(self) -> None:
        """Let go of everything; idempotent."""
        self.closing.close()


def open_corpus(settings: Settings) -> Corpus:
    """Connect to the servers that `settings` name.

    Raises:
        UsageError: one is not named, or something on it is not as it has to be.
        UnreachableError: one does not answer.
    """
    try:
        return _opened(settings)
    except TransientError as exc:  # a process that runs may try again; one that begins has nothing yet
        raise UnreachableError(str(exc), op="open", subject=exc.subject, hint=exc.hint) from exc


def _opened(settings: Settings) -> Corpus:
    pipeline_id, cluster = random_id(), settings.cluster
    _log.info("opened", run_id=pipeline_id)
    with reached_at_start(), ExitStack() as opened:
        log = open_log(cluster)
        opened.callback(log.close)
        artifacts = open_artifacts(cluster, clock=now)
        opened.callback(artifacts.close)
        database = open_sql(cluster, owner=pipeline_id)
        opened.callback(database.dispose)
        vector, keyword = vector_index_of(settings), KeywordIndex()
        return Corpus(
            settings=settings,
            pipeline_id=pipeline_id,
            log=log,
            artifacts=artifacts,
            database=database,
            homes={
                VECTOR: vector_home(cluster, vector, database=database, log_id=log.log_id),
                KEYWORD: keyword_home(cluster, keyword, database=database, log_id=log.log_id),
            },
            projections=projections_of(vector, keyword),
            scratch=_scratch(cluster, opened),
            closing=opened.pop_all(),
        )


def _scratch(cluster: ClusterSettings, opened: ExitStack) -> Path:
    if cluster.scratch is not None:
        cluster.scratch.mkdir(parents=True, exist_ok=True)
    return Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="refold-", dir=cluster.scratch)))
