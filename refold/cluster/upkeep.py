"""One projection kept up to date in this process, from opening its view to letting go of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from projections.runner import ProjectionStatus, Runner
from schemas.errors import RefoldError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """An open view and its runner, not started; `is_current` says whether it is still the view to keep."""

    runner: Runner[Any]
    close: Callable[[], None]
    is_current: Callable[[], bool] = lambda: True


class Upkeep:
    """Opens a view and follows the log with it, in threads of its own: whoever began it goes on renewing leases.

    Args:
        name: Of the projection.
        make: Opens the view; may take as long as a rebuild.
    """

    def __init__(self, name: str, make: Callable[[], Kept]) -> None:
        self.name = name
        self._make = make
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
        if self._error is not None:
            return self._error
        kept = self._kept
        return kept.runner.stop_error if kept is not None else None

    @property
    def trouble(self) -> Exception | None:
        """Why it stopped, or what it is trying again; None while all is well."""
        if self._error is not None:
            return self._error
        kept = self._kept
        return kept.runner.trouble if kept is not None else None

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
            kept = self._make()
        except Exception as exc:  # noqa: BLE001 - it must be told by whoever keeps it, and is tried again
            self._error = exc
            return
        with self._lock:
            if not self._is_stopping:
                kept.runner.start()
                self._kept = kept
                return
        kept.close()


def _end(kept: Kept) -> None:
    kept.runner.stop()
    try:
        kept.close()
    except RefoldError as exc:  # its server is away, or what it held is: whatever is not written is read again
        _log.warning("a view could not be closed", error=str(exc))
