"""An index of a data folder as its owner keeps it: opened, following the log, and written again on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from projections.consistency.rebuild import RebuildReport
from projections.fold.panics import error_of
from projections.fold.progress import ProjectionStatus
from projections.fold.runner import Runner
from projections.index.backend import IndexForeign
from projections.index.state import Condition, IndexState
from projections.index.view.home import rebuild_hint
from refold.engine.engine import AnyIndex, NotThereYet
from schemas.errors import DiskFull, FatalError, RefoldError
from schemas.positions import Position


class KeptIndex:
    """One index, whatever state it is in: opening it never fails; what is wrong is raised where the index is needed.

    Args:
        view: The index.
        make_runner: A runner of the view, not started, that tells `failed` what stops it.
        rebuild: Writes the index again, beside what there is; calls back with the number of documents done.
    """

    def __init__(
        self,
        view: AnyIndex,
        *,
        make_runner: Callable[[Callable[[Exception], object]], Runner[Any]],
        rebuild: Callable[[Callable[[int], None]], RebuildReport],
    ) -> None:
        self._view = view
        self._make_runner = make_runner
        self._rebuild = rebuild
        self._one_rebuild = threading.Lock()
        self._finishing: threading.Thread | None = None

        # What other threads ask for, under the condition.
        self._changed = threading.Condition()
        self._runner: Runner[Any] | None = None
        self._is_being_written = False
        self._is_closed = False

    def open(self) -> bool:
        """Open the index and let it follow the log; whether this has made its first generation.

        One that was never written to its end is written again, in a thread.
        """
        try:
            is_first = self._view.open()
        except RefoldError:  # the view keeps it, and raises it where it is needed
            return False
        if self._view.generation.is_live:
            self._follow()
        else:
            unfinished = f"the {self._view.name} index was not written to its end"
            self._view.set_aside(IndexForeign(unfinished, op="open index", hint=self._hint))
            self._is_being_written = True
            self._finishing = threading.Thread(target=self._finish, name=f"rebuild-{self._view.name}", daemon=True)
            self._finishing.start()
        return is_first

    def close(self) -> None:
        """Let what was read be applied, and follow the log no more; a writing ends at its next batch. Idempotent."""
        with self._changed:
            self._is_closed = True
            runner = self._runner
        if runner is not None:
            runner.stop()
        if self._finishing is not None:
            self._finishing.join()
        with self._one_rebuild:
            pass

    def state(self) -> IndexState:
        """How the index is now."""
        name, error = self._view.name, self._view.damage
        with self._changed:
            runner, is_being_written = self._runner, self._is_being_written
        if is_being_written:
            return IndexState(name, Condition.BEING_WRITTEN, error, is_searchable=error is None)
        if runner is None or error is not None:
            return IndexState(name, Condition.DAMAGED, error, is_searchable=False)
        trouble = runner.progress.error
        is_behind = trouble is not None or runner.status().lag_events > 0
        return IndexState(
            name, Condition.BEHIND if is_behind else Condition.OPEN, None if trouble is None else self._told(trouble)
        )

    def status(self) -> ProjectionStatus | None:
        """How it follows the log; None while it cannot be searched."""
        with self._changed:
            runner = self._runner
        return None if runner is None or self._view.damage is not None else runner.status()

    def want_of_space(self) -> DiskFull | None:
        """The full disk that keeps it from going on, if one does."""
        with self._changed:
            error = None if self._runner is None else self._runner.progress.stop_error
        return error if isinstance(error, DiskFull) else None

    def wait_for(self, position: Position, *, timeout_s: float) -> None:
        """Return when the index has reached `position`; a damaged one that is being rewritten is waited for.

        Raises:
            NotThereYet: it has not in time.
            RefoldError: what is wrong with it, at once.
        """
        deadline = time.monotonic() + timeout_s
        runner = self._runner_in_order(timeout_s)
        if runner is None or not runner.wait_for(position, max(deadline - time.monotonic(), 0.0)):
            raise NotThereYet(
                f"{self._view.name} is not at {position} after {timeout_s:.0f} s", op="wait", hint="see: refold status"
            )

    def rebuild(self, on_progress: Callable[[int], None]) -> RebuildReport:
        """Write the index again, whatever state it is in; a second rebuild asked for meanwhile begins afterwards.

        Raises:
            PoisonError: a version cannot be written.
            RefoldError: what has stopped it; the index is what it was.
        """

        def go_on(done: int) -> None:
            if self._is_closed:
                raise FatalError("the data folder was closed meanwhile", op="rebuild", hint=self._hint)
            on_progress(done)

        with self._one_rebuild:
            go_on(0)
            try:
                self._set_being_written(is_so=True)
                report = self._rebuild(go_on)
                self._follow()
                return report
            finally:
                self._set_being_written(is_so=False)

    def _finish(self) -> None:
        try:
            self.rebuild(lambda _: None)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it must be seen in the index's state
            self._view.set_aside(self._told(exc))
            self._set_being_written(is_so=False)

    def _set_being_written(self, *, is_so: bool) -> None:
        with self._changed:
            self._is_being_written = is_so
            self._changed.notify_all()

    def _follow(self) -> None:
        """Follow the log with the view; a runner that has not stopped does so already, wherever the view stands now."""
        with self._changed:
            if self._is_closed or (self._runner is not None and self._runner.progress.stop_error is None):
                return
            runner = self._make_runner(self._failed)
            self._runner = runner
            runner.start()
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, DiskFull):  # what is there can be searched all the same, and goes on with more space
            self._view.set_aside(self._told(error))

    def _runner_in_order(self, timeout_s: float) -> Runner[Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._view.damage is None or not self._is_being_written, timeout_s)
            runner = self._runner
        damage = self._view.damage
        if damage is not None and not self._is_being_written:
            raise damage.with_traceback(None)
        return runner

    def _told(self, exc: BaseException) -> RefoldError:
        return error_of(exc, op="keep index", subject=f"the {self._view.name} index", hint=self._hint)

    @property
    def _hint(self) -> str:
        return rebuild_hint(self._view.name)
