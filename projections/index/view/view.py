"""The view behind both indexes: chunks in a backend, and in SQL which version of each document it answers with.

What it is made of is opened, served, swapped and closed here; how changes get into it is
`projections/index/view/steps.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from threading import RLock
from typing import Generic

from projections.fold.panics import error_of, is_panic
from projections.index.backend import IndexEntry, IndexForeign
from projections.index.books.books import BookCounts
from projections.index.books.generations import Generation
from projections.index.books.parked import Parked
from projections.index.books.served import Served
from projections.index.changes import IndexChange
from projections.index.generation_store import BackendT_co
from projections.index.view.home import IndexHome, OpenIndex, rebuild_hint
from projections.index.view.reader_gate import ReaderGate
from projections.index.view.steps import Fault, IndexSteps, OnPoison, no_fault
from schemas.errors import RefoldError
from schemas.ids import DocumentId
from schemas.positions import Position
from streams.artifacts import ArtifactStore


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds: `counts` by its bookkeeping, `chunks` and `size_bytes` by its backend."""

    generation: Generation
    position: Position
    counts: BookCounts
    chunks: int
    size_bytes: int


class IndexView(Generic[BackendT_co]):
    """An index, open, or damaged and waiting to be rebuilt. One thread applies at a time; anyone may search.

    An index that could not be opened, or was set aside, refuses every use with that error until it is reopened or
    rebuilt.

    Args:
        home: Where it lives.
        artifacts: Where the chunks and vectors of versions are.
        clock: Now, in UTC: how old garbage is. Where processes on several machines may write, theirs must be one clock.
        longest_query_s: How long garbage is kept for queries that may have found it.
        fault: Called at each of `STEPS`.
        before_writing: Called before anything is written; what it raises keeps the index as it is.
    """

    def __init__(
        self,
        home: IndexHome[BackendT_co],
        *,
        artifacts: ArtifactStore,
        clock: Callable[[], datetime],
        longest_query_s: float,
        fault: Fault = no_fault,
        before_writing: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = home.spec
        self._home = home
        self._steps = IndexSteps(
            spec=home.spec,
            artifacts=artifacts,
            clock=clock,
            longest_query_s=longest_query_s,
            fault=fault,
            before_writing=before_writing,
        )
        self._lock = RLock()
        self._gate = ReaderGate()
        self._opened: OpenIndex[BackendT_co] | None = None
        self._damage: RefoldError | None = None

    @property
    def name(self) -> str:
        """The index's name."""
        return self.spec.name

    @property
    def longest_query_s(self) -> float:
        """How long garbage is kept; a query that takes longer runs again."""
        return self._steps.longest_query_s

    @property
    def generation(self) -> Generation:
        """The generation that is open; one that is not live has to be built to its end."""
        return self._held.generation

    def served_generation(self) -> str | None:
        """The name of the generation that was built to its end, whether it opens or not; None if there is none."""
        current = self._home.current()
        return current.name if current is not None and current.is_live else None

    @property
    def damage(self) -> RefoldError | None:
        """The error that it could not be opened for, or was set aside for; None while it is in order."""
        return self._damage

    def open(self) -> bool:
        """Open the current generation; True if there was none, and the first one was made.

        Raises as the home does, and MachineError: files do not open, there is no space, or the driver has panicked.
        """
        return self._open(self._home.open).is_first

    def open_to_read(self) -> None:
        """Open the generation that another process keeps, for searches and comparisons; raises as the home does."""
        self._open(self._home.open_to_read)

    def set_aside(self, error: RefoldError) -> None:
        """Refuse every use of the index from now on with `error`, which has stopped what keeps it up to date."""
        self._damage = error

    def beside(self) -> IndexView[BackendT_co]:
        """A view of a new, empty generation, written while this one goes on, then swapped in or dropped.

        This one need not be open.
        """
        beside = IndexView(
            self._home,
            artifacts=self._steps.artifacts,
            clock=self._steps.clock,
            longest_query_s=self._steps.longest_query_s,
            before_writing=self._steps.before_writing,
        )
        beside._open(self._home.beside)
        return beside

    def swap_in(self, beside: IndexView[BackendT_co], *, last: Callable[[], None]) -> None:
        """Serve what `beside` has written from now on, and drop what was served before.

        `last` writes what is still to come, while nothing is applied to this view any more: so no reader is sent back
        to an earlier position. What applies changes to this view meets a PositionConflict and goes on from there.
        """
        with self._lock:
            last()
            beside.promote()
            with self._gate.closed():  # searches of the old one end, with its rows still there
                self._let_go()
                self._opened, beside._opened = beside._opened, None
                self._damage = None
            with suppress(RefoldError):  # the new one stands; what could not be dropped is at the next opening
                self._home.drop_others(self._held.generation)

    def drop(self, beside: IndexView[BackendT_co]) -> None:
        """Drop what `beside` has written; this view stays as it is."""
        beside.close()
        self._home.drop_others(self._home.current())

    def promote(self) -> None:
        """Mark the open generation as live: built to its end."""
        with self._lock:
            held = self._held
            self._opened = replace(held, generation=self._home.promoted(held.generation))

    def close(self) -> None:
        """Let go of the index; idempotent."""
        with self._lock, self._gate.closed():
            self._let_go()

    def position(self) -> Position:
        """How far the log is in the index."""
        return self._held.books.position()

    def apply(
        self,
        changes: Sequence[IndexChange],
        expected: Position,
        at: Position,
        *,
        on_poison: OnPoison = OnPoison.PARK,
    ) -> None:
        """Apply `changes` and move the position from `expected` to `at`: steps (1) and (2).

        A version whose artifacts cannot be read, or that the backend refuses, is parked.

        Raises:
            IndexForeign: the index was deleted or replaced; nothing is written to what stands there now.
            PositionConflict: the index does not stand at `expected`; chunks written by then are not served.
            PoisonError: a version would have been parked, and `on_poison` is STOP; nothing was applied.
        """
        with self._lock:
            self._steps.apply(self._held, changes, expected, at, on_poison=on_poison)

    def collect_garbage(self) -> int:
        """Step (3): delete the oldest garbage that no query can want any more; how many chunks that was.

        At most a bounded number of them: 0 means that nothing is due. Cheap then; to be called between batches.
        """
        with self._lock:
            return self._steps.collect_garbage(self._held)

    def scan(self) -> Iterator[IndexEntry]:
        """What is really there, served or not."""
        backend = self._held.backend
        for ids in backend.scan_ids():
            yield from backend.read(ids)

    def served(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, Served]:
        """What is served of `document_ids`; removed documents have a row too."""
        return self._held.books.served(document_ids)

    def parked(self) -> Mapping[DocumentId, Parked]:
        """The versions that could not be applied, and those that await their vectors."""
        return self._held.books.parked()

    def status(self) -> IndexStatus:
        """What the index holds."""
        held = self._held
        return IndexStatus(
            generation=held.generation,
            position=held.books.position(),
            counts=held.books.counts(),
            chunks=held.backend.count(),
            size_bytes=held.backend.size_bytes(),
        )

    @contextmanager
    def searching(self) -> Iterator[OpenIndex[BackendT_co]]:
        """Backend and bookkeeping, to search in; they stay open until the block is left."""
        with self._gate.entered():
            yield self._held

    @contextmanager
    def paused(self) -> Iterator[OpenIndex[BackendT_co]]:
        """The same, while nothing is applied or deleted: what a reconciler compares."""
        with self._lock:
            yield self._held

    def _open(self, opened: Callable[[], OpenIndex[BackendT_co]]) -> OpenIndex[BackendT_co]:
        with self._lock, self._gate.closed():
            self._let_go()
            try:
                self._opened = opened()
            except RefoldError as exc:
                self._damage = exc
                raise
            except BaseException as exc:
                if not isinstance(exc, Exception) and not is_panic(exc):
                    raise
                context = {"op": "open index", "subject": f"the {self.name} index", "hint": rebuild_hint(self.name)}
                self._damage = error_of(exc, **context)
                raise self._damage from exc
            self._damage = None
            return self._opened

    @property
    def _held(self) -> OpenIndex[BackendT_co]:
        if self._damage is not None:
            raise self._damage.with_traceback(None)  # raised often: each raise would lengthen it
        if self._opened is None:
            raise IndexForeign(
                f"the {self.name} index is not open", op="use index", subject=self.name, hint=rebuild_hint(self.name)
            )
        return self._opened

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(RefoldError):  # what could not be flushed was never claimed: it is read from the log again
                opened.backend.close()
