"""The embedded engine: everything of one data folder at work in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from projections.index_backend import IndexForeign, KeywordBackend, VectorBackend
from projections.index_view import IndexView
from projections.jobs import JobsView
from projections.manifest import ManifestView
from projections.projection import Projection
from projections.rebuild import created_draft, finish_rebuild, promoted_drafts
from projections.runner import Runner
from projections.search import Search
from projections.sql.sql_view import SqlView
from projections.stage_results import StageResultsView
from refold.control.messages import Call, Json
from refold.control.server import ControlServer, Emit
from refold.data_folder import DataFolder
from refold.planning import Planning
from refold.settings import Settings
from schemas.errors import RefoldError, TransientError, UsageError
from schemas.events import TOPICS
from schemas.positions import Position
from streams.artifacts import ArtifactStore
from streams.job import Job
from streams.log import EventLog
from streams.planner import Planner

CATCH_UP_TIMEOUT_S = 600.0
"""A projection is waited for; one that has not arrived after this long is told as an error."""

AnyIndex = IndexView[VectorBackend] | IndexView[KeywordBackend]

SQL_VIEWS = ("manifest", "jobs", "stage_results")
INDEXES = ("vector", "keyword")


class NotThereYet(TransientError):  # noqa: N818 - a state, as in the error tree
    """A projection has not reached the asked position in time."""


class Work(Protocol):
    """What runs while documents are processed: the slot, its pool, the jobs' bookkeeper, planners."""

    def plan(self, job: Job) -> Planning:
        """The planning of `job`: a new one, or the one that is under way or done."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in work."""

    def wake(self) -> None:
        """A reader that held starts back has caught up."""

    def stop(self) -> None:
        """Finish or release what is in work; blocks."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What wiring hands to the engine; the engine closes it all."""

    settings: Settings
    folder: DataFolder
    pipeline_id: str
    log: EventLog
    artifacts: ArtifactStore
    views: Views
    make_runner: Callable[[str, Callable[[], bool]], Runner[Any]]
    projection: Callable[[str], Projection[Any]]
    rebuild_view: Callable[[str], Position]
    copy_artifacts: Callable[[Path], int]
    search: Search
    planner: Planner
    make_work: Callable[[Engine], Work]
    run_command: Callable[[Engine, Call, Emit, threading.Event], Mapping[str, Any]]
    clock: Callable[[], datetime]


@dataclass(slots=True)
class _Running:
    runners: dict[str, Runner[Any]] = field(default_factory=dict)
    index_errors: dict[str, IndexForeign] = field(default_factory=dict)
    work: Work | None = None
    server: ControlServer | None = None
    failure: RefoldError | None = None


class Engine:
    """Owns a data folder: follows the log with all projections, answers commands, and works when it is asked to.

    Threads: one per projection, the slot's committer, and `loop`'s, where attempts and the control socket live. The
    caller holds the folder's lock.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self.loop.run_forever, name="engine-loop", daemon=True)
        self._running = _Running()
        self._work_lock = threading.Lock()
        self.gates: list[Callable[[], bool]] = []

    def __enter__(self) -> Self:
        self._loop_thread.start()
        for name in INDEXES:
            self._open_index(name)
        for name in SQL_VIEWS:
            if self._sql_view(name).is_outdated:
                self.parts.rebuild_view(name)
        for name in (*SQL_VIEWS, *INDEXES):
            if name not in self._running.index_errors:
                self.follow(name)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_index(self, name: str) -> None:
        """Open an index, tell the log of its first generation, and go on with a rebuild that was cut short."""
        parts, view = self.parts, self.parts.views.indexes[name]
        try:
            is_first = view.open()
        except IndexForeign as error:
            self._running.index_errors[name] = error
            return
        if is_first and self._has_operations():
            self._tell_generation(view)
        elif not view.generation.is_live:
            finish_rebuild(
                view,
                parts.projection(name),
                parts.log,
                scratch=parts.folder.views,
                pipeline_id=parts.pipeline_id,
                clock=parts.clock,
            )

    def _has_operations(self) -> bool:
        """Whether the log was told anything of its indexes; a new one stays empty until work begins, for an import."""
        return bool(self.parts.log.end(self.parts.log.partitions("operations")))

    def _tell_generation(self, view: AnyIndex) -> None:
        told: dict[str, Any] = {"pipeline_id": self.parts.pipeline_id, "now": self.parts.clock()}
        drafts = [created_draft(view.generation, **told), *promoted_drafts(view.generation, **told)]
        self.parts.log.append(None, drafts)

    def _sql_view(self, name: str) -> SqlView[Any, Any]:
        view: SqlView[Any, Any] = getattr(self.parts.views, name)
        return view

    # -- projections

    def follow(self, name: str) -> None:
        """Let projection `name` follow the log in its thread."""
        runner = self.parts.make_runner(name, self.is_quiet)
        self._running.runners[name] = runner
        self._running.index_errors.pop(name, None)
        runner.start()

    def unfollow(self, name: str) -> None:
        """Stop projection `name`, so that its view can be rebuilt."""
        runner = self._running.runners.pop(name, None)
        if runner is not None:
            runner.stop()

    @property
    def runners(self) -> Mapping[str, Runner[Any]]:
        """The projections that follow the log."""
        return self._running.runners

    @property
    def index_errors(self) -> Mapping[str, IndexForeign]:
        """The indexes that could not be opened, and why."""
        return self._running.index_errors

    def end(self) -> Position:
        """Where the log ends now, in all topics."""
        return self.parts.log.end([tp for topic in TOPICS for tp in self.parts.log.partitions(topic)])

    def wait_for(
        self, position: Position, names: Collection[str] = INDEXES, *, timeout_s: float = CATCH_UP_TIMEOUT_S
    ) -> None:
        """Return when the projections `names` have reached `position`.

        Raises:
            NotThereYet: one of them has not, in time.
            IndexForeign: one of them has to be rebuilt first.
            RefoldError: what stopped one of them.
        """
        for name in names:
            if name in self.index_errors:
                raise self.index_errors[name]
            if not self.runners[name].wait_for(position, timeout_s):
                raise NotThereYet(
                    f"{name} is not at {position} after {timeout_s:.0f} s", op="wait", hint="see: refold status"
                )

    # -- work

    def work(self) -> Work:
        """Process documents from now on; the same work for everybody who asks."""
        with self._work_lock:
            if self._running.work is None:
                self.wait_for(self.end(), SQL_VIEWS)
                if not self._has_operations():
                    for name in INDEXES:
                        if name not in self.index_errors:
                            self._tell_generation(self.parts.views.indexes[name])
                self._running.work = self.parts.make_work(self)
            return self._running.work

    @property
    def is_working(self) -> bool:
        """Whether documents are being processed here."""
        return self._running.work is not None

    def is_quiet(self) -> bool:
        """Whether nothing is in work here that will write to the log soon."""
        work = self._running.work
        return work is None or work.is_idle

    def may_start(self) -> bool:
        """Whether every reader that must not be overrun is near enough to the end."""
        return all(gate() for gate in self.gates)

    def fail(self, error: RefoldError) -> None:
        """Something met an error that must stop the engine; whoever waits is told by `check`."""
        self._running.failure = self._running.failure or error

    def check(self) -> None:
        """Raise what has stopped the engine or one of its projections, if anything has."""
        if self._running.failure is not None:
            raise self._running.failure
        for runner in list(self.runners.values()):
            status = runner.status()
            if status.is_stopped and status.error is not None:
                raise status.error

    # -- others' commands

    def listen(self) -> None:
        """Answer the commands of other processes on the folder's socket."""
        server = ControlServer(self.parts.folder.path, self._answer)
        asyncio.run_coroutine_threadsafe(server.start(), self.loop).result()
        self._running.server = server

    def _answer(self, call: Call, emit: Emit, caller_left: threading.Event) -> Mapping[str, Any]:
        if call.settings_fingerprint != self.parts.settings.fingerprint:
            raise UsageError(
                f"the owner of {self.parts.folder.path} has other settings",
                op=call.command,
                hint="use the same settings, or wait until its work has ended",
            )
        return self.parts.run_command(self, call, emit, caller_left)

    def run(self, call: Call, emit: Callable[[Json], None], stop: threading.Event) -> Mapping[str, Any]:
        """The result of a command of this very process."""
        return self.parts.run_command(self, call, emit, stop)

    # -- the end

    def close(self) -> None:
        """Release what is in work, let the projections store where they are, and let go of everything; idempotent."""
        running, self._running = self._running, _Running()
        if running.server is not None:
            asyncio.run_coroutine_threadsafe(running.server.stop(), self.loop).result()
        if running.work is not None:
            running.work.stop()
        for runner in running.runners.values():
            runner.stop()
        if self._loop_thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._loop_thread.join()
            self.loop.close()
            self._close_stores()

    def _close_stores(self) -> None:
        views = self.parts.views
        for view in (views.vector, views.keyword, views.manifest, views.jobs, views.stage_results):
            view.close()
        self.parts.artifacts.close()
        self.parts.log.close()
