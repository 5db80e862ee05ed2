"""One projection kept up to date in this process, from opening its view to letting go of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from projections.fold.panics import error_of
from projections.fold.progress import ProjectionStatus
from projections.fold.runner import Runner
from refold.cluster.watchdog import PATIENCE_S
from schemas.errors import RefoldError
from streams.process_log import ProcessLogger

_log = ProcessLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """An open view and its runner, not started; `is_current` says whether it is still the view to keep."""

    runner: Runner[Any]
    close: Callable[[], None]
    is_current: Callable[[], bool] = lambda: True


WentOn = Callable[[], object]
"""To be called whenever an opening has made progress: it may take hours as long as it does."""

Maker = Callable[[WentOn], Kept]
"""Opens the view of a projection; may take as long as a rebuild."""


class Upkeep:
    """Opens a view with `make` and follows the log with it, in threads of its own; the caller renews leases."""

    def __init__(self, name: str, make: Maker, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._make = make
        self._monotonic = monotonic
        self._went_on_s = monotonic()
        self._kept: Kept | None = None
        self._error: Exception | None = None
        self._is_stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._open, name=f"open-{name}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> ProjectionStatus | None:
        """How the projection is doing; None while its view is being opened."""
        kept = self._kept
        return kept.runner.status() if kept is not None else None

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None while it goes on."""
        kept = self._kept
        return self._error or (kept.runner.progress.stop_error if kept is not None else None)

    @property
    def trouble(self) -> Exception | None:
        """Why it stopped, or what it is trying again; None while all is well."""
        kept = self._kept
        return self._error or (kept.runner.progress.error if kept is not None else None)

    @property
    def standstill(self) -> str | None:
        """What has not gone on for `PATIENCE_S`, though it should; None while all is well."""
        if self.error is not None:
            return None
        kept = self._kept
        silent_s = kept.runner.progress.silent_s if kept is not None else self._monotonic() - self._went_on_s
        what = "it has not gone round" if kept is not None else "its view is being opened and has not got on"
        return f"{what} for {silent_s:.0f} s" if silent_s >= PATIENCE_S else None

    @property
    def is_at_work(self) -> bool:
        """Whether it has gone round since its view was opened, and follows the log."""
        kept = self._kept
        return kept is not None and kept.runner.has_begun and self.error is None

    @property
    def is_outdated(self) -> bool:
        """Whether another generation is to be kept instead."""
        kept = self._kept
        return kept is not None and not kept.is_current()

    def stop(self, timeout_s: float) -> None:
        """Apply what was read, and let go of the view; an opening that takes longer than `timeout_s` ends by itself."""
        with self._lock:
            self._is_stopping = True
            kept, self._kept = self._kept, None
        if kept is not None:
            _end(kept)
        self._thread.join(timeout_s)

    def _open(self) -> None:
        try:
            kept = self._make(self._note_progress)
        except BaseException as exc:  # noqa: BLE001 - a panic, too, has to be reported by the projector, and is tried again
            hint = f"refold rebuild {self.name}"
            self._error = exc if isinstance(exc, Exception) else error_of(exc, op="open", subject=self.name, hint=hint)
            return
        with self._lock:
            if not self._is_stopping:
                kept.runner.start()
                self._kept = kept
                return
        kept.close()

    def _note_progress(self) -> None:
        self._went_on_s = self._monotonic()


def _end(kept: Kept) -> None:
    kept.runner.stop()
    try:
        kept.close()
    except RefoldError as exc:  # its server is away, or what it held is: whatever is not written is read again
        _log.warning("a view could not be closed", error=str(exc))
