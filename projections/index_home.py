"""Where an index lives: rows in SQL and a folder per generation, which have to speak of the same generation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Engine

from projections.generations import Generation, Generations
from projections.index_backend import IndexBackend, IndexForeign
from projections.index_bookkeeping import IndexBookkeeping
from projections.index_changes import IndexSpec
from schemas.errors import MachineError, UsageError

BackendT_co = TypeVar("BackendT_co", bound=IndexBackend, covariant=True)


class OpenBackend(Protocol, Generic[BackendT_co]):
    """Opens the index of one generation."""

    def __call__(self, directory: Path, generation: str, *, create: bool) -> BackendT_co:
        """The index in `directory`, made anew if `create`.

        Raises:
            IndexForeign: `directory` does not hold an index of `generation`.
        """


@dataclass(frozen=True, slots=True)
class OpenIndex(Generic[BackendT_co]):
    """An open generation of an index."""

    generation: Generation
    backend: BackendT_co
    books: IndexBookkeeping


class IndexHome(Generic[BackendT_co]):
    """Opens an index.

    Args:
        spec: Which; one written for another embedder or mapping is refused.
        log_id: Of the log it is a fold of; one of another log is refused.
        directory: Holds a folder per generation.
        open_backend: Opens such a folder.
        engine: Of the database that holds the rows of all indexes; closed by whoever made it.
    """

    def __init__(
        self,
        spec: IndexSpec,
        *,
        log_id: str,
        directory: Path,
        open_backend: OpenBackend[BackendT_co],
        engine: Engine,
    ) -> None:
        self.spec = spec
        self._log_id = log_id
        self._directory = directory
        self._open_backend = open_backend
        self._engine = engine
        self._generations = Generations(engine)

    def current(self) -> Generation | None:
        """The generation there is, live or being built; None before the first."""
        return self._generations.current(self.spec.name)

    def open(self) -> OpenIndex[BackendT_co]:
        """The current generation; the first one is made here.

        Raises:
            IndexForeign: the folder was wiped or is another's, or the index was written from another log.
            UsageError: it was written with another embedder.
        """
        generation = self.current()
        if generation is None:
            opened = self.renewed()
            return replace(opened, generation=self.promoted(opened.generation))
        self._check(generation)
        books = IndexBookkeeping(self._engine, generation)
        # Nothing was applied yet: a process died before the folder was whole.
        is_unwritten = not generation.is_live and not books.position()
        self._sweep_folders(spared=None if is_unwritten else generation.name)
        return OpenIndex(generation, self._backend(generation, create=is_unwritten), books)

    def renewed(self) -> OpenIndex[BackendT_co]:
        """A new, empty generation that is being built; the rows of the old one go first, then its folder."""
        generation = self._generations.begin(self.spec, log_id=self._log_id)
        self._sweep_folders(spared=None)
        return OpenIndex(generation, self._backend(generation, create=True), IndexBookkeeping(self._engine, generation))

    def promoted(self, generation: Generation) -> Generation:
        """The same generation, live from now on: it was built to its end."""
        return self._generations.promote(generation)

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

    def _backend(self, generation: Generation, *, create: bool) -> BackendT_co:
        try:
            return self._open_backend(self._directory / generation.name, generation.name, create=create)
        except IndexForeign as exc:
            raise self._foreign("has lost its folder, or another one stands in its place") from exc

    def _foreign(self, what: str) -> IndexForeign:
        return IndexForeign(
            f"the {self.spec.name} index {what}",
            op="open index",
            subject=str(self._directory),
            hint=rebuild_hint(self.spec.name),
        )

    def _sweep_folders(self, *, spared: str | None) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for folder in self._directory.iterdir():
                if folder.name != spared:
                    shutil.rmtree(folder)
        except OSError as exc:
            raise MachineError(
                f"{self._directory}: {exc.strerror}",
                op="open index",
                subject=str(self._directory),
                hint="make the data folder writable",
            ) from exc


def rebuild_hint(index: str) -> str:
    """The command that writes an index anew."""
    return f"refold rebuild {index}"
