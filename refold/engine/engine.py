"""What a command works on: one corpus, wherever it is kept and whichever process runs its projections."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from projections.consistency.rebuild import RebuildReport
from projections.consistency.report import VerifyReport
from projections.consistency.verify import verify
from projections.fold.progress import ProjectionStatus
from projections.fold.projection import Projection
from projections.fold.view import View
from projections.index.backend import KeywordBackend, VectorBackend
from projections.index.state import IndexState
from projections.index.view.view import IndexView
from projections.jobs.entries import JobState
from projections.jobs.view import JobsView
from projections.manifest.view import ManifestView
from projections.search.search import Search
from projections.sql.view import SqlView, rebuild_sql_view
from projections.stage_results.view import StageResultsView
from refold.engine.planning_thread import PlanningThread
from refold.engine.readers import Readers
from refold.settings.settings import Settings
from schemas.errors import RefoldError, TransientError
from schemas.events import TOPICS
from schemas.positions import Position
from streams.artifacts import ArtifactStore
from streams.log import EventLog
from streams.planning.job import Job
from streams.planning.planner import Planner
from streams.source import Source

CATCH_UP_TIMEOUT_S = 600.0
"""A projection is waited for; one that has not arrived after this long is an error."""

AnyIndex = IndexView[VectorBackend] | IndexView[KeywordBackend]

SQL_VIEWS: Mapping[str, type[SqlView[Any, Any]]] = {
    "manifest": ManifestView,
    "jobs": JobsView,
    "stage_results": StageResultsView,
}
"""The SQL views by the names of their projections, which are fields of `Views`, too."""

INDEXES = ("vector", "keyword")


class NotThereYet(TransientError):  # noqa: N818 - a state, as in the error tree
    """A projection has not reached the asked position in time."""


class GroupPositions(Protocol):
    """Durable positions in one log, by the name of a group of subscribers: in a file, or in Kafka. Thread-safe."""

    def get(self, group: str) -> Position | None:
        """How far `group` has come; None for one that has never handled anything."""

    def put(self, group: str, position: Position) -> None:
        """`group` has handled everything before `position`; durable when this returns."""

    def close(self) -> None:
        """Let go of what is open; idempotent."""


class Work(Protocol):
    """What commands ask of an engine that works: to plan jobs. In both engines it is `PlanningThreads`."""

    def plan(self, job: Job, sources: Sequence[Source] | None = None) -> PlanningThread:
        """The thread that plans `job`: the running one, or a new one that reads `sources`; None opens the job's."""

    def resume(self, row: JobState) -> None:
        """Plan the job of `row` to its end if that was cut short; UsageError if its sources cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """The projections' views."""

    manifest: ManifestView
    jobs: JobsView
    stage_results: StageResultsView
    vector: IndexView[VectorBackend]
    keyword: IndexView[KeywordBackend]

    @property
    def indexes(self) -> Mapping[str, AnyIndex]:
        """The two indexes, by name."""
        return {"vector": self.vector, "keyword": self.keyword}

    def sql(self, name: str) -> SqlView[Any, Any]:
        """The SQL view of that name."""
        view: SqlView[Any, Any] = getattr(self, name)
        return view

    def named(self, name: str) -> View[Any, Any]:
        """The view of that name."""
        view: View[Any, Any] = getattr(self, name)
        return view

    def close(self) -> None:
        """Let go of them all."""
        for view in (*self.indexes.values(), *map(self.sql, SQL_VIEWS)):
            view.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a corpus is kept, as far as this machine is concerned.

    Attributes:
        name: For people: the data folder's path, or the prefix of the topics.
        scratch: An existing folder for temporary tables.
        folder: The data folder; None where everything is on servers.
    """

    name: str
    scratch: Path
    folder: Path | None = None

    @property
    def never_enter(self) -> Sequence[str]:
        """The folders that no scan looks into: the data folder, where it is now."""
        return (str(self.folder.resolve()),) if self.folder is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What every process of refold has open of a corpus; `pipeline_id` is the id of its run."""

    settings: Settings
    pipeline_id: str
    log: EventLog
    artifacts: ArtifactStore
    projections: Mapping[str, Projection[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Opened):
    """What wiring hands to an engine; the engine closes it all."""

    location: Location
    views: Views
    search: Search
    planner: Planner
    clock: Callable[[], datetime]


class Engine(ABC):
    """Answers commands about one corpus, and works when it is asked to; entered once, then closed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.readers = Readers()
        self.began_at = Position()  # how far the log was when this engine began to follow it, if it does
        self.ends_with: threading.Event | None = None
        """Set by a caller that runs one command and then closes the engine: what stops the command stops all else."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def open(self) -> None:
        """Begin; `close` ends what was begun, also after an error."""

    @abstractmethod
    def close(self) -> None:
        """End everything under way and let go of it all; idempotent."""

    @abstractmethod
    def listen(self) -> None:
        """Answer the commands of other processes, where they cannot reach the corpus themselves."""

    # -- projections

    @abstractmethod
    def index_states(self) -> Mapping[str, IndexState]:
        """How each index is, by name; asking tries again to open what another process may have mended."""

    @property
    def index_errors(self) -> Mapping[str, RefoldError]:
        """Why the indexes that cannot be searched now cannot."""
        return {
            name: state.error
            for name, state in self.index_states().items()
            if state.error is not None and not state.is_searchable
        }

    @abstractmethod
    def statuses(self) -> Sequence[ProjectionStatus]:
        """How the projections are doing, but for indexes that cannot be searched."""

    @abstractmethod
    def wait_for(
        self,
        position: Position,
        names: Collection[str] = INDEXES,
        *,
        timeout_s: float = CATCH_UP_TIMEOUT_S,
        stop: threading.Event | None = None,
    ) -> None:
        """Return when the projections `names` have reached `position`.

        Raises:
            NotThereYet: one of them has not, in time.
            Interrupted: `stop` came first.
            RefoldError: what stopped one of them, or what is wrong with an index; at once, without the time.
        """

    @abstractmethod
    def rebuild_index(self, name: str, on_progress: Callable[[int], None]) -> RebuildReport:
        """Rebuild an index from the log and the artifacts; `on_progress` gets the number of documents done."""

    def rebuild_view(self, name: str) -> Position:
        """Rebuild a SQL view beside the one that is read, and return how far it is."""
        return rebuild_sql_view(self.parts.log, self.parts.projections[name], self.parts.views.sql(name))

    def compare_indexes(self, *, deep: bool) -> VerifyReport:
        """Compare both indexes with the log; what is applied to them waits meanwhile."""
        parts = self.parts
        return verify(
            parts.views.indexes.values(),
            parts.log,
            artifacts=parts.artifacts,
            scratch=parts.location.scratch,
            deep=deep,
        )

    def end(self) -> Position:
        """Where the log ends now, in all topics."""
        return self.parts.log.end([tp for topic in TOPICS for tp in self.parts.log.partitions(topic)])

    @abstractmethod
    def group_positions(self) -> GroupPositions:
        """How far each group of subscribers has come; closed by the caller."""

    # -- work

    @abstractmethod
    def work(self) -> Work:
        """Process documents from now on, and plan jobs; the same work for everybody who asks."""

    @property
    @abstractmethod
    def works_unasked(self) -> bool:
        """Whether documents are processed also when the current command has ended: by others, or by earlier work."""

    @property
    def plans_alone(self) -> bool:
        """Whether no other process plans jobs of this corpus: a job without JobPlanned is under way here or nowhere."""
        return self.parts.location.folder is not None

    @abstractmethod
    def drain(self) -> None:
        """Finish or give back documents in progress, so that the log and the SQL views know of it; `close` is next."""

    @abstractmethod
    def check(self) -> None:
        """Raise what has stopped the engine or one of its projections, if anything has."""
