"""The engine of a command, or of a program, beside a cluster: it asks and plans; workers and projectors do the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from projections.consistency.rebuild import RebuildReport
from projections.consistency.report import VerifyReport
from projections.fold.progress import ProjectionStatus
from projections.index.backend import IndexForeign
from projections.index.books.books import IndexBooks
from projections.index.state import Condition, IndexState
from projections.sql.leases import Leases
from projections.sql.view import rebuild_sql_view
from refold.cluster.client.keeper_watch import PATIENCE_S, KeeperWatch
from refold.cluster.client.lag import status_of
from refold.cluster.corpus import Corpus
from refold.cluster.holds import Holds
from refold.control.messages import Interrupted
from refold.engine.assembly import planning_threads_of
from refold.engine.engine import CATCH_UP_TIMEOUT_S, INDEXES, SQL_VIEWS, Engine, GroupPositions, NotThereYet, Parts
from refold.engine.planning_threads import PlanningThreads
from schemas.errors import FatalError
from schemas.positions import Position
from streams.logs.kafka.groups import KafkaGroupPositions
from streams.planning.uploads import Uploads
from streams.sources.local.files import Files

POLL_S = 0.05
"""How often a wait looks at how far a projection is that others keep up to date."""

LEASES_WAITED = 3
"""Leases that may run out one after the other before a keeper is no longer expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts(Parts):
    """What wiring hands to the client's engine beside."""

    corpus: Corpus


class ClientEngine(Engine):
    """Answers commands from what projectors have written, and publishes what is asked for.

    Slow readers of `stream_events` hold back what is planned here, not what workers have taken already.
    """

    def __init__(self, parts: ClientParts) -> None:
        super().__init__(parts)
        self.parts: ClientParts = parts
        self._leases = Leases(parts.corpus.database, duration_s=parts.corpus.cluster.lease_s)
        self._errors: dict[str, FatalError] = {}
        self._work: PlanningThreads | None = None

    def open(self) -> None:
        """Nothing: the indexes are opened by asking how they are, and most commands do not ask."""

    def close(self) -> None:
        """End planning and let go of every connection."""
        work, self._work = self._work, None
        if work is not None:
            work.stop()
        self.parts.views.close()
        self.parts.corpus.close()

    def listen(self) -> None:
        """Nothing: other commands reach the servers by themselves."""

    def index_states(self) -> Mapping[str, IndexState]:
        """How each index is; one that was rebuilt, or is back, is opened again by asking."""
        for name in INDEXES:
            if name in self._errors or not self._is_current(name):
                self._reopen(name)
        return {name: self._state(name) for name in INDEXES}

    def _state(self, name: str) -> IndexState:
        current, error = self.parts.corpus.homes[name].current(), self._errors.get(name)
        if current is not None and not current.is_live:
            unwritten = IndexForeign(
                f"the {name} index is being written", op="use index", subject=name, hint="see: refold status"
            )
            return IndexState(name, Condition.BEING_WRITTEN, error or unwritten, is_searchable=False)
        if error is not None:
            return IndexState(name, Condition.DAMAGED, error, is_searchable=False)
        wanted = self.end().only(self.parts.projections[name].topics)
        reached = self.parts.views.indexes[name].position().reaches(wanted)
        return IndexState(name, Condition.OPEN if reached else Condition.BEHIND)

    def _is_current(self, name: str) -> bool:
        current = self.parts.corpus.homes[name].current()
        try:
            return current is not None and self.parts.views.indexes[name].generation.key == current.key
        except FatalError:  # not open: a rebuild has closed it
            return False

    def _reopen(self, name: str) -> None:
        try:
            self.parts.views.indexes[name].open_to_read()
            self._errors.pop(name, None)
        except FatalError as error:
            self._errors[name] = error

    def statuses(self) -> Sequence[ProjectionStatus]:
        """How far the projections are."""
        states = self.index_states()
        names = [*SQL_VIEWS, *(name for name in states if name not in self._errors)]
        return [
            status_of(
                self.parts.views.named(name), self.parts.projections[name], self.parts.log, clock=self.parts.clock
            )
            for name in names
        ]

    def wait_for(
        self,
        position: Position,
        names: Collection[str] = INDEXES,
        *,
        timeout_s: float = CATCH_UP_TIMEOUT_S,
        stop: threading.Event | None = None,
    ) -> None:
        """Return when the projections `names` have reached `position`; see the base class."""
        deadline = time.monotonic() + timeout_s
        for name in names:
            wanted, keeping = position.only(self.parts.projections[name].topics), self._watch_keeper(name)
            while not self._has_reached(name, wanted):
                if time.monotonic() >= deadline:
                    raise NotThereYet(
                        f"{name} is not at {position} after {timeout_s:.0f} s",
                        op="wait",
                        hint="see: refold status",
                    )
                if stop is not None and stop.is_set():
                    raise Interrupted(op="wait", hint="see: refold status")
                keeping.look()
                time.sleep(POLL_S)

    def _has_reached(self, name: str, wanted: Position) -> bool:
        if name not in INDEXES:
            return self.parts.views.named(name).position().reaches(wanted)
        if name not in self.index_errors:
            return self.parts.views.named(name).position().reaches(wanted)
        current = self.parts.corpus.homes[name].current()
        error = self.index_errors.get(name)
        if current is not None and current.is_live and isinstance(error, IndexForeign):
            raise error  # it was lost; one that is not live is being written, and a server may come back
        return False

    def compare_indexes(self, *, deep: bool) -> VerifyReport:
        """Compare both indexes with the log, held still; again, if a batch was under way while it was looked."""
        with Holds(self.parts.corpus.database).held(INDEXES):
            report = super().compare_indexes(deep=deep)
            while not report.is_consistent:
                again = super().compare_indexes(deep=deep)
                if _standing(again) == _standing(report):
                    return again
                report = again
            return report

    def rebuild_index(self, name: str, on_progress: Callable[[int], None]) -> RebuildReport:
        """Begin a new generation and wait until the projector that holds the index has written it."""
        began = self.parts.clock()
        home, view = self.parts.corpus.homes[name], self.parts.views.indexes[name]
        view.close()
        home.renewed().backend.close()
        keeping = self._watch_keeper(name)
        while True:
            current = home.current()
            if current is not None and current.is_live:
                break
            on_progress(0 if current is None else IndexBooks(self.parts.corpus.database, current).counts().documents)
            keeping.look()
            time.sleep(POLL_S)
        self.wait_for(self.end(), [name])
        counts = view.status().counts
        return RebuildReport(
            generation=current.name,
            documents=counts.documents,
            chunks=counts.chunks,
            seconds=(self.parts.clock() - began).total_seconds(),
        )

    def rebuild_view(self, name: str) -> Position:
        """Build a SQL view beside the one that a projector keeps, which goes on from there after the swap."""
        with closing(self.parts.corpus.sql_view(SQL_VIEWS[name], read_only=False)) as view:
            return rebuild_sql_view(self.parts.log, self.parts.projections[name], view)

    def _watch_keeper(self, name: str) -> KeeperWatch:
        patience_s = max(PATIENCE_S, self._leases.duration_s * LEASES_WAITED)
        return KeeperWatch(name, self._leases.holders, patience_s=patience_s)

    def group_positions(self) -> GroupPositions:
        """How far each group of subscribers has come, where Kafka keeps it."""
        return KafkaGroupPositions(self.parts.corpus.cluster.corpus, self.parts.corpus.cluster.kafka)

    def work(self) -> PlanningThreads:
        """Plan jobs, which is all the work there is here: the documents are the workers'."""
        if self._work is None:
            shares_paths = self.parts.corpus.cluster.shares_paths
            uploads = None if shares_paths else Uploads(self.parts.artifacts, Files())
            self._work = planning_threads_of(self, uploads=uploads)
        return self._work

    def drain(self) -> None:
        """Nothing: workers go on without this process."""

    @property
    def works_unasked(self) -> bool:
        """True: documents are the workers', which go on without this process."""
        return True

    def check(self) -> None:
        """Nothing runs here that could stop; a server that is away is an error of the call that needs it."""


def _standing(report: VerifyReport) -> Mapping[str, Any]:
    return {name: (index.position, dict(index.counts)) for name, index in report.indexes.items()}
