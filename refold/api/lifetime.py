"""The engine of a pipeline, from its opening to its closing, for callers on an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from refold.api.chosen_engine import engine_of
from refold.engine.data_folder import DataFolder, Ownership
from refold.engine.engine import Engine
from refold.settings.settings import Settings
from schemas.errors import UsageError

T = TypeVar("T")

OPEN_HINT = "use it in: async with refold.open(...) as pipeline"


class Lifetime:
    """Opens, closes and lends an engine; everything that blocks runs in threads, and ends when its caller is cancelled.

    It may be opened again once it is closed. In a forked child it is of no use: threads and locks stay behind.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = DataFolder(settings.data, settings.folder_access)
        self._ownership = Ownership(self._folder)
        self._engine: Engine | None = None
        self._to_close: Engine | None = None
        self._process = os.getpid()
        self._is_begun = False
        self._has_ended = False
        self._closing = threading.Event()
        self._stops: set[threading.Event] = set()

    @property
    def closing(self) -> threading.Event:
        """Set when the engine is about to be closed."""
        return self._closing

    @property
    def engine(self) -> Engine:
        """The engine.

        Raises:
            UsageError: it is not open, or it is another process's.
        """
        if self._process != os.getpid():
            raise UsageError(
                "the pipeline belongs to the process that has opened it", hint="open one in the forked process itself"
            )
        if self._engine is None:
            raise UsageError(
                "the pipeline is closed" if self._has_ended else "the pipeline is not open", hint=OPEN_HINT
            )
        return self._engine

    async def open(self) -> None:
        """Take the folder and open the engine; cancelled, it returns when the folder is free again.

        Raises:
            UsageError: it is open.
        """
        if self._is_begun:
            raise UsageError("the pipeline is open already", hint="open another one: refold.open(...)")
        self._is_begun, self._has_ended, self._process = True, False, os.getpid()
        self._closing = threading.Event()
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            await asyncio.shield(opening)
        except BaseException:
            self._closing.set()  # a wait for the folder ends
            await asyncio.shield(asyncio.ensure_future(self._let_go(opening)))
            raise

    async def _let_go(self, opening: asyncio.Future[None]) -> None:
        await asyncio.wait({opening})
        opening.exception()  # asked for, so that asyncio does not report it a second time
        await asyncio.to_thread(self._close)

    async def close(self) -> None:
        """End what is under way and let go of everything, also when it is cancelled meanwhile; idempotent."""
        if self._process != os.getpid():
            return
        self._ask_to_stop()  # here: every thread for calls may be waiting
        closing = asyncio.ensure_future(asyncio.to_thread(self._close))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing})
            raise

    async def lend(self, use: Callable[[Engine, threading.Event], T]) -> T:
        """What `use` returns, which runs in a thread; its event is set when the caller leaves or the engine is closed.

        Raises:
            UsageError: the engine is not open, or was closed meanwhile.
        """
        engine, stop = self.engine, threading.Event()
        self._stops.add(stop)
        try:
            return await asyncio.to_thread(use, engine, stop)
        except Exception as error:
            if self._engine is not engine:
                raise UsageError("the pipeline was closed meanwhile", hint=OPEN_HINT) from error
            raise
        finally:
            stop.set()
            self._stops.discard(stop)

    def _open(self) -> None:
        try:
            if self._settings.engine == "embedded":
                self._ownership.take(self._settings.lock_wait_s, stop=self._closing)
            self._to_close = engine = engine_of(self._settings, self._folder)
            engine.open()
            engine.listen()
            self._engine = engine
        except BaseException:
            self._close()
            raise

    def _ask_to_stop(self) -> None:
        self._closing.set()
        for stop in list(self._stops):
            stop.set()

    def _close(self) -> None:
        engine, self._engine, self._to_close = self._to_close, None, None
        self._has_ended = True
        self._ask_to_stop()
        try:
            if engine is not None:
                engine.close()
        finally:
            self._ownership.release()
            self._is_begun = False
