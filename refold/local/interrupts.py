"""Ctrl-C, SIGTERM and a closed terminal, as one exception that comes where it may."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Within the block each of `SIGNALS` raises KeyboardInterrupt, except where they are held off.

    In threads other than the main one nothing is changed: signals do not come there.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._is_held_off = False
        self._is_pending = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._interrupted) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held_off(self) -> Iterator[None]:
        """Let nothing come in between; one that came meanwhile is raised at the end."""
        self._is_held_off = True
        try:
            yield
        finally:
            self._is_held_off = False
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_held_off:
            raise KeyboardInterrupt
        self._is_pending = True
