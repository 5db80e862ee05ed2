"""The real engine with a fault in it: the process is gone when a numbered step is reached for the n-th time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from projections.index.changes import IndexChange
from projections.index.view import steps as index_steps
from projections.index.view import view
from refold import commands
from refold.control.messages import Call
from refold.embedded import wiring
from refold.engine import slots
from refold.engine.data_folder import DataFolder, Ownership
from refold.engine.engine import Engine
from refold.settings.settings import load_settings
from streams.slot import parts

PARTS: Mapping[str, Sequence[str]] = {
    "slot": parts.FAULT_POINTS,
    "vector": index_steps.STEPS,
    "keyword": index_steps.STEPS,
}
"""Which points there are in which part of the engine."""

EXIT_CODE = 86
"""Of a process that met its fault."""

MEETS_FAULT_S = 30.0
"""A fault that was not met so long after everything was done is never met."""


class FaultAt:
    """Ends the process when `part` reaches `point` for the `times`-th time, counted from `arm` on."""

    def __init__(self, part: str, point: str, *, times: int) -> None:
        self._part = part
        self._point = point
        self._left = times
        self._is_armed = False

    def arm(self) -> None:
        """From now on it counts."""
        self._is_armed = True

    def reached(self, part: str, point: str) -> None:
        """A part of the engine is at one of its points."""
        if not self._is_armed or (part, point) != (self._part, self._point):
            return
        self._left -= 1
        if self._left == 0:
            os._exit(EXIT_CODE)


class WatchedIndexView(view.IndexView[Any]):
    """Tells of its steps in batches that change something; most of the log changes nothing in an index."""

    def __init__(self, home: Any, *, reached: Callable[[str, str], None], **parts: Any) -> None:
        super().__init__(home, fault=self._tell, **parts)
        self._reached = reached
        self._changes_something = False

    def apply(self, changes: Sequence[IndexChange], *args: Any, **kwargs: Any) -> None:
        """As ever."""
        self._changes_something = bool(changes)
        super().apply(changes, *args, **kwargs)

    def _tell(self, step: str) -> None:
        if self._changes_something or step.startswith("3"):
            self._reached(self.name, step)


def wire(fault: FaultAt) -> None:
    """Have `refold.engine.slots` and `refold.embedded.wiring` put `fault` into every engine that this process opens."""
    slots.SlotParts = partial(parts.SlotParts, fault=partial(fault.reached, "slot"))  # type: ignore[misc, assignment]
    wiring.IndexView = partial(WatchedIndexView, reached=fault.reached)  # type: ignore[misc, assignment]


@contextmanager
def engine_of(data: Path) -> Iterator[Engine]:
    """The engine of `data`, with one pool process and queries that are short, so that garbage is due at once."""
    settings = load_settings({"data": data, "pool": {"processes": 1}, "indexes": {"longest_query_s": 0.001}})
    folder = DataFolder(data)
    with Ownership(folder) as ownership:
        ownership.take(settings.lock_wait_s)
        with wiring.open_engine(settings, folder=folder) as engine:
            yield engine


def ingest(engine: Engine, docs: Path, *, job_id: str) -> Mapping[str, Any]:
    """Ingest `docs`, a folder called ``docs`` wherever it is, and wait until all is searchable."""
    arguments = {"sources": [str(docs)], "job_id": job_id, "as_name": "docs"}
    return commands.run(engine, Call(command="ingest", arguments=arguments), lambda _: None, threading.Event())


def live_and_die(folder: Path, first: Callable[[Path], Path], then: Callable[[Path], Path], fault: FaultAt) -> None:
    """Ingest what `first` wrote into `folder` and, with the fault armed, what `then` made of it."""
    wire(fault)
    with engine_of(folder / "data") as engine:
        ingest(engine, first(folder), job_id="first")
        fault.arm()
        ingest(engine, then(folder), job_id="then")
        threading.Event().wait(MEETS_FAULT_S)  # garbage is collected meanwhile
