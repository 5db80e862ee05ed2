"""The engine of a command, or of a program, beside a cluster: it asks and plans; workers and projectors do the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine as SqlEngine

from projections.consistency.rebuild import RebuildReport
from projections.consistency.report import VerifyReport
from projections.fold.progress import ProjectionStatus
from projections.fold.projection import Projection
from projections.fold.view import View
from projections.index.backend import IndexForeign
from projections.index.books.books import IndexBooks
from projections.index.state import Condition, IndexState
from projections.index.view.home import IndexHome
from refold.cluster.client.keeper_watch import KeeperWatch
from refold.cluster.client.lag import status_of
from refold.cluster.holds import Holds
from refold.control.messages import Interrupted
from refold.engine.engine import CATCH_UP_TIMEOUT_S, INDEXES, SQL_VIEWS, Engine, NotThereYet, Parts
from refold.engine.group_positions import GroupPositions
from refold.engine.planning_threads import PlanningThreads
from schemas.errors import FatalError
from schemas.positions import Position

POLL_S = 0.05
"""How often it is looked how far a projection is that others keep up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts(Parts):
    """What wiring hands to the client's engine beside."""

    homes: Mapping[str, IndexHome[Any]]
    projections: Mapping[str, Projection[Any]]
    holds: Holds
    database: SqlEngine
    watch_keeper: Callable[[str], KeeperWatch]
    open_group_positions: Callable[[], GroupPositions]
    make_work: Callable[[ClientEngine], PlanningThreads]
    close_servers: Callable[[], None]


class ClientEngine(Engine):
    """Answers commands from what projectors have written, and publishes what is asked for.

    Slow readers of `stream_events` hold back what is planned here, not what workers have taken already.
    """

    def __init__(self, parts: ClientParts) -> None:
        super().__init__(parts)
        self.parts: ClientParts = parts
        self._errors: dict[str, FatalError] = {}
        self._work: PlanningThreads | None = None

    def open(self) -> None:
        """Nothing: the indexes are opened by whoever asks how they are, and most commands do not."""

    def close(self) -> None:
        """End planning and let go of every connection."""
        work, self._work = self._work, None
        if work is not None:
            work.stop()
        self.parts.views.close()
        self.parts.close_servers()

    def listen(self) -> None:
        """Nothing: other commands reach the servers by themselves."""

    def index_states(self) -> Mapping[str, IndexState]:
        """How each index is; one that was rebuilt, or is back, is opened anew by asking."""
        for name in INDEXES:
            if name in self._errors or not self._is_current(name):
                self._reopen(name)
        return {name: self._state(name) for name in INDEXES}

    def _state(self, name: str) -> IndexState:
        current, error = self.parts.homes[name].current(), self._errors.get(name)
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
        current = self.parts.homes[name].current()
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
            status_of(self._view(name), self.parts.projections[name], self.parts.log, clock=self.parts.clock)
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
            wanted, keeping = position.only(self.parts.projections[name].topics), self.parts.watch_keeper(name)
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
            return self._view(name).position().reaches(wanted)
        if name not in self.index_errors:
            return self._view(name).position().reaches(wanted)
        current = self.parts.homes[name].current()
        error = self.index_errors.get(name)
        if current is not None and current.is_live and isinstance(error, IndexForeign):
            raise error  # it was lost; one that is not live is being written, and a server may come back
        return False

    def _view(self, name: str) -> View[Any, Any]:
        view: View[Any, Any] = getattr(self.parts.views, name)
        return view

    def compare_indexes(self, *, deep: bool) -> VerifyReport:
        """Compare both indexes with the log, held still; again, if a batch was under way while it was looked."""
        with self.parts.holds.held(INDEXES):
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
        home, view = self.parts.homes[name], self.parts.views.indexes[name]
        view.close()
        home.renewed().backend.close()
        keeping = self.parts.watch_keeper(name)
        while True:
            current = home.current()
            if current is not None and current.is_live:
                break
            on_progress(0 if current is None else IndexBooks(self.parts.database, current).counts().documents)
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

    def group_positions(self) -> GroupPositions:
        """How far each group of subscribers has come, where Kafka keeps it."""
        return self.parts.open_group_positions()

    def work(self) -> PlanningThreads:
        """Plan jobs, which is all the work there is here: the documents are the workers'."""
        if self._work is None:
            self._work = self.parts.make_work(self)
        return self._work

    def drain(self) -> None:
        """Nothing is in work here: workers go on without this process."""

    @property
    def works_unasked(self) -> bool:
        """True: documents are the workers', which go on without this process."""
        return True

    def check(self) -> None:
        """Nothing runs here that could stop; a server that is away is told by whoever asks it."""


def _standing(report: VerifyReport) -> Mapping[str, Any]:
    return {name: (index.position, dict(index.counts)) for name, index in report.indexes.items()}
