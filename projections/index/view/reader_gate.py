"""Lets readers in together, and one who must be alone once they have left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ReaderGate:
    """Many readers, or one who closes the gate: new readers wait, and those inside are waited for."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._is_closed = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be a reader; enter once, not again from inside, or a closing gate would wait for ever."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            self._changed.wait_for(lambda: self._readers == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()
