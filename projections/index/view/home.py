"""Where an index lives: rows in SQL and a store of generations, which have to speak of the same generation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Generic

from sqlalchemy import Engine

from projections.index.backend import IndexForeign
from projections.index.books.books import IndexBooks
from projections.index.books.generations import Generation, Generations, LockedGenerations
from projections.index.changes import IndexSpec
from projections.index.generation_store import BackendT_co, GenerationStore
from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class OpenIndex(Generic[BackendT_co]):
    """An open generation of an index; `is_first` if there was none, and this opening made it."""

    generation: Generation
    backend: BackendT_co
    books: IndexBooks
    is_first: bool = False


class IndexHome(Generic[BackendT_co]):
    """Opens an index.

    Args:
        spec: Which; one written for another embedder or mapping is refused.
        log_id: Of the log it is a fold of; one of another log is refused.
        store: Holds its generations; on a server other processes may open them too.
        database: Holds the rows of all indexes; its maker closes it.
    """

    def __init__(self, spec: IndexSpec, *, log_id: str, store: GenerationStore[BackendT_co], database: Engine) -> None:
        self.spec = spec
        self._log_id = log_id
        self._store = store
        self._database = database

    @cached_property
    def _generations(self) -> Generations:
        # Made at the first use: a database that does not open is an error of the index, not of the process.
        return Generations(self._database)

    def current(self) -> Generation | None:
        """The current generation, live or being built; None before the first."""
        return self._generations.current(self.spec.name)

    def open(self) -> OpenIndex[BackendT_co]:
        """The current generation; the first one is made here. Of many that open at once, one makes it.

        Another one that was begun, and not written to its end, is dropped.

        Raises:
            IndexForeign: the index was wiped or another's stands there, or it was written from another log.
            UsageError: it was written with another embedder.
        """
        with self._generations.locked(self.spec.name) as locked:
            generation = locked.current()
            if generation is None:
                self._store.drop_others(None)
                opened = self._begun(locked, is_first=True)
            else:
                self._check(generation)
                locked.forget_others(generation)
                self._store.drop_others(generation.name)
                opened = self._reopened(generation)
        opened.books.keep_moments()
        self._point_alias(opened.generation)
        return opened

    def open_to_read(self) -> OpenIndex[BackendT_co]:
        """The current generation as others keep it: nothing is made, dropped or pointed to.

        Raises:
            IndexForeign: there is none yet, or it is not where it was written.
            UsageError: it was written with another embedder.
        """
        generation = self.current()
        if generation is None:
            raise self._foreign("is not there yet: no projector has made it")
        self._check(generation)
        try:
            backend = self._store.open(generation.name, create=False)
        except IndexForeign as exc:
            raise self._foreign("is not where it was written, or another one stands in its place") from exc
        return OpenIndex(generation, backend, IndexBooks(self._database, generation))

    def renewed(self) -> OpenIndex[BackendT_co]:
        """A new, empty generation that is being built; the rows of the old one go first, then what it wrote."""
        with self._generations.locked(self.spec.name) as locked:
            opened = self._begun(locked, is_first=False)
        with self._generations.locked(self.spec.name) as locked:
            current = locked.current()
            self._store.drop_others(None if current is None else current.name)
        return opened

    def beside(self) -> OpenIndex[BackendT_co]:
        """A new, empty generation that is being built beside the current one, which need not be open, and stays."""
        with self._generations.locked(self.spec.name) as locked:
            generation = locked.begin_beside(self.spec, log_id=self._log_id)
            return self._made(generation)

    def promoted(self, generation: Generation) -> Generation:
        """The same generation, live from now on, instead of what was: it was built to its end.

        Raises:
            GenerationGone: another one has been begun.
        """
        promoted = self._generations.promote(generation)
        self._point_alias(promoted)
        return promoted

    def drop_others(self, spared: Generation | None) -> None:
        """Drop all generations but `spared`, rows and what they wrote; idempotent."""
        with self._generations.locked(self.spec.name) as locked:
            locked.forget_others(spared)
            self._store.drop_others(None if spared is None else spared.name)

    def _begun(self, locked: LockedGenerations, *, is_first: bool) -> OpenIndex[BackendT_co]:
        """A generation whose row is there once its index is: a process that dies in between leaves all as it was."""
        return self._made(locked.begin(self.spec, log_id=self._log_id, is_live=is_first), is_first=is_first)

    def _made(self, generation: Generation, *, is_first: bool = False) -> OpenIndex[BackendT_co]:
        backend = self._store.open(generation.name, create=True)
        return OpenIndex(generation, backend, IndexBooks(self._database, generation), is_first)

    def _reopened(self, generation: Generation) -> OpenIndex[BackendT_co]:
        books = IndexBooks(self._database, generation)
        try:
            backend = self._store.open(generation.name, create=False)
        except IndexForeign as exc:
            if generation.is_live or books.position():
                raise self._foreign("is not where it was written, or another one stands in its place") from exc
            backend = self._store.open(generation.name, create=True)  # nothing was applied yet, so nothing is lost
        return OpenIndex(generation, backend, books)

    def _point_alias(self, generation: Generation) -> None:
        # Live is one SQL row, which is there by now; the alias follows, at the next opening if not here.
        if generation.is_live:
            self._store.point_alias(generation.name)

    def _check(self, generation: Generation) -> None:
        written, asked = generation.spec, self.spec
        if (written.embedder, written.dim) != (asked.embedder, asked.dim):
            raise UsageError(
                f"the {asked.name} index was written with {written.embedder}, the settings say {asked.embedder}",
                op="open index",
                subject=asked.name,
                hint=f"set it back, or ingest with --force and then: {rebuild_hint(asked.name)}",
            )
        if (written.mapping, generation.log_id) != (asked.mapping, self._log_id):
            raise self._foreign("was written from another log, or by another release")

    def _foreign(self, what: str) -> IndexForeign:
        return IndexForeign(
            f"the {self.spec.name} index {what}",
            op="open index",
            subject=self._store.location,
            hint=rebuild_hint(self.spec.name),
        )


def rebuild_hint(index: str) -> str:
    """The command that writes an index from scratch."""
    return f"refold rebuild {index}"
