"""The embedded engine: everything of one data folder at work in this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from projections.consistency.rebuild import RebuildReport, news_of
from projections.fold.progress import ProjectionStatus
from projections.fold.runner import Runner
from projections.index.state import IndexState
from refold import commands
from refold.control.messages import Call, Emit, Interrupted, Json
from refold.control.server import ControlServer
from refold.embedded.agreement import refuse_other_settings
from refold.embedded.group_positions import SqliteGroupPositions
from refold.embedded.kept_index import KeptIndex
from refold.embedded.work import EmbeddedWork
from refold.engine.data_folder import DataFolder
from refold.engine.engine import CATCH_UP_TIMEOUT_S, INDEXES, SQL_VIEWS, AnyIndex, Engine, NotThereYet, Parts
from refold.engine.planning_threads import PlanningThreads
from schemas.errors import RefoldError, UsageError
from schemas.positions import Position

SLICE_S = 0.25
"""A wait for a projection looks this often whether it is still wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedParts(Parts):
    """What wiring hands to the embedded engine beside."""

    folder: DataFolder
    make_runner: Callable[[EmbeddedParts, str, Callable[[], bool]], Runner[Any]]
    make_index: Callable[[EmbeddedParts, str, Callable[[], bool]], KeptIndex]
    make_work: Callable[[EmbeddedEngine], EmbeddedWork]


@dataclass(slots=True)
class _Running:
    runners: dict[str, Runner[Any]] = field(default_factory=dict)
    indexes: dict[str, KeptIndex] = field(default_factory=dict)
    work: EmbeddedWork | None = None
    server: ControlServer | None = None
    failure: RefoldError | None = None


class EmbeddedEngine(Engine):
    """Owns a data folder: follows the log with all projections, answers commands, and works when it is asked to.

    Threads: one per projection, the slot's committer, and `loop`'s, where attempts and the control socket live. The
    caller holds the folder's lock.
    """

    def __init__(self, parts: EmbeddedParts) -> None:
        super().__init__(parts)
        self.parts: EmbeddedParts = parts
        self.loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self.loop.run_forever, name="engine-loop", daemon=True)
        self._running = _Running()
        self._work_lock = threading.Lock()
        self._rebuild_lock = threading.Lock()
        self._is_open = threading.Event()
        self._has_ended = threading.Event()

    def open(self) -> None:
        """Build the views that are outdated, open the indexes, and let every projection follow the log.

        An index that cannot be opened is in a state that says so; everything else goes on.
        """
        self._loop_thread.start()
        self.began_at = self.end()
        outdated = [name for name in SQL_VIEWS if self.parts.views.sql(name).is_outdated]
        if outdated:
            self.listen()  # that may take minutes: other commands see that there is an owner, and wait
        for name in outdated:
            super().rebuild_view(name)
        for name in INDEXES:
            index = self._running.indexes[name] = self.parts.make_index(self.parts, name, self.is_quiet)
            if index.open() and self._has_operations():
                self._tell_generation(self.parts.views.indexes[name])
        for name in SQL_VIEWS:
            self._follow(name)
        self._is_open.set()

    def _follow(self, name: str) -> None:
        """Follow the log with a SQL view, from where it stands."""
        runner = self._running.runners[name] = self.parts.make_runner(self.parts, name, self.is_quiet)
        runner.start()

    def _has_operations(self) -> bool:
        """Whether the log holds anything about its indexes; a new one stays empty until work begins, for an import."""
        return bool(self.parts.log.end(self.parts.log.partitions("operations")))

    def _tell_generation(self, view: AnyIndex) -> None:
        drafts = news_of(view.generation, pipeline_id=self.parts.pipeline_id, now=self.parts.clock())
        self.parts.log.append(None, drafts)

    # -- projections

    def index_states(self) -> Mapping[str, IndexState]:
        """How each index is."""
        return {name: index.state() for name, index in self._running.indexes.items()}

    def statuses(self) -> Sequence[ProjectionStatus]:
        """How the projections are doing, but for indexes that cannot be searched."""
        indexes = [index.status() for index in self._running.indexes.values()]
        views = [runner.status() for runner in self._running.runners.values()]
        return [*views, *(status for status in indexes if status is not None)]

    def rebuild_index(self, name: str, on_progress: Callable[[int], None]) -> RebuildReport:
        """Write an index again, whatever state it is in."""
        return self._running.indexes[name].rebuild(on_progress)

    def rebuild_view(self, name: str) -> Position:
        """Rebuild a SQL view; if its runner had stopped, a new one follows the log. One view after the other."""
        with self._rebuild_lock:
            position = super().rebuild_view(name)
            if self._running.runners[name].progress.stop_error is not None:
                self._follow(name)
            return position

    def wait_for(
        self,
        position: Position,
        names: Collection[str] = INDEXES,
        *,
        timeout_s: float = CATCH_UP_TIMEOUT_S,
        stop: threading.Event | None = None,
    ) -> None:
        """Return when the projections `names` have reached `position`; see the base class."""
        deadline_s = time.monotonic() + timeout_s
        for name in names:
            while not self._reaches(name, position, min(SLICE_S, max(deadline_s - time.monotonic(), 0.0))):
                if stop is not None and stop.is_set():
                    raise Interrupted(op="wait", hint="see: refold status")
                if time.monotonic() >= deadline_s:
                    raise NotThereYet(
                        f"{name} is not at {position} after {timeout_s:.0f} s", op="wait", hint="see: refold status"
                    )

    def _reaches(self, name: str, position: Position, within_s: float) -> bool:
        if name not in INDEXES:
            return self._running.runners[name].wait_for(position, within_s)
        try:
            self._running.indexes[name].wait_for(position, timeout_s=within_s)
        except NotThereYet:
            return False
        return True

    def group_positions(self) -> SqliteGroupPositions:
        """How far each group of subscribers has come, in a file of the data folder."""
        folder = self.parts.folder
        path = folder.access.make_file(folder.path / "subscriptions.sqlite")
        return SqliteGroupPositions(path, log_id=self.parts.log.log_id)

    # -- work

    def work(self) -> PlanningThreads:
        """Process documents from now on, and plan jobs; the same work for everybody who asks.

        Raises:
            UsageError: the engine is closed, or about to be: what is begun now would never be ended.
        """
        with self._work_lock:
            if self._has_ended.is_set():
                raise UsageError(f"{self.parts.folder.path} was closed meanwhile", op="work", hint="open it again")
            if self._running.work is None:
                self.wait_for(self.end(), SQL_VIEWS, stop=self._has_ended)
                if not self._has_operations():
                    for name in INDEXES:
                        if self.parts.views.indexes[name].damage is None:
                            self._tell_generation(self.parts.views.indexes[name])
                self._running.work = self.parts.make_work(self)
            return self._running.work.plannings

    def drain(self) -> None:
        """Finish or give back documents in progress; see the base class."""
        if self._running.work is not None:
            self._running.work.stop()
            self.wait_for(self.end(), SQL_VIEWS)

    @property
    def works_unasked(self) -> bool:
        """Whether work was begun here by an earlier caller."""
        return self._running.work is not None

    def is_quiet(self) -> bool:
        """Whether no document is in progress here that will write to the log soon."""
        work = self._running.work
        return work is None or work.is_idle

    def fail(self, error: RefoldError) -> None:
        """Something met an error that must stop the engine; `check` raises it."""
        self._running.failure = self._running.failure or error

    def check(self) -> None:
        """Raise what has stopped the engine or a view, or an index for want of space, if anything has.

        A damaged index stops nothing else: only waiting for it raises.
        """
        if self._running.failure is not None:
            raise self._running.failure
        running = self._running
        stopped = [runner.progress.stop_error for runner in running.runners.values()]
        stopped += [index.want_of_space() for index in running.indexes.values()]
        for error in stopped:
            if error is not None:
                raise error

    # -- others' commands

    def listen(self) -> None:
        """Answer the commands of other processes on the folder's socket; idempotent."""
        if self._running.server is not None:
            return
        server = ControlServer(self.parts.folder.path, self._answer, access=self.parts.folder.access)
        asyncio.run_coroutine_threadsafe(server.start(), self.loop).result()
        self._running.server = server

    def _answer(self, call: Call, emit: Emit, caller_left: threading.Event) -> Json:
        refuse_other_settings(call, self.parts.settings, owner=str(self.parts.folder.path))
        self._is_open.wait()
        return commands.run(self, call, emit, caller_left)

    # -- the end

    def close(self) -> None:
        """Release documents in progress, let projections store where they are, and let go of everything; idempotent."""
        self._has_ended.set()
        with self._work_lock:  # work that is just beginning is ended with the rest
            running, self._running = self._running, _Running()
        if running.server is not None:
            asyncio.run_coroutine_threadsafe(running.server.stop(), self.loop).result()
        if running.work is not None:
            running.work.stop()
        for index in running.indexes.values():
            index.close()
        for runner in running.runners.values():
            runner.stop()
        if self._loop_thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._loop_thread.join()
            self.loop.close()
            for opened in (self.parts.views, self.parts.artifacts, self.parts.log):
                opened.close()
