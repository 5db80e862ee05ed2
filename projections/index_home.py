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
    """Opens the index `spec`, whose generations have folders in `directory` and rows in the database of `engine`."""

    def __init__(
        self, spec: IndexSpec, *, directory: Path, open_backend: OpenBackend[BackendT_co], engine: Engine
    ) -> None:
        self.spec = spec
        self._directory = directory
        self._open_backend = open_backend
        self._engine = engine
        self._generations = Generations(engine)

    def open(self) -> OpenIndex[BackendT_co]:
        """The current generation; the first one is made here.

        Raises:
            IndexForeign: the folder was wiped or is another's.
            UsageError: the index was written with another embedder or mapping.
        """
        generation = self._generations.current(self.spec.name)
        if generation is None:
            opened = self.renewed()
            return replace(opened, generation=self.promoted(opened.generation))
        if generation.spec != self.spec:
            raise _other_spec(generation.spec, self.spec)
        books = IndexBookkeeping(self._engine, generation)
        # Nothing was applied yet: a process died before the folder was whole.
        is_unwritten = not generation.is_live and not books.position()
        self._sweep_folders(spared=None if is_unwritten else generation.name)
        return OpenIndex(generation, self._backend(generation, create=is_unwritten), books)

    def renewed(self) -> OpenIndex[BackendT_co]:
        """A new, empty generation that is being built; the rows of the old one go first, then its folder."""
        generation = self._generations.begin(self.spec)
        self._sweep_folders(spared=None)
        return OpenIndex(generation, self._backend(generation, create=True), IndexBookkeeping(self._engine, generation))

    def promoted(self, generation: Generation) -> Generation:
        """The same generation, live from now on: it was built to its end."""
        return self._generations.promote(generation)

    def _backend(self, generation: Generation, *, create: bool) -> BackendT_co:
        folder = self._directory / generation.name
        try:
            return self._open_backend(folder, generation.name, create=create)
        except IndexForeign as exc:
            raise IndexForeign(
                f"the folder of the {self.spec.name} index was wiped, or is not the one written here",
                op="open index",
                subject=str(folder),
                hint=rebuild_hint(self.spec.name),
            ) from exc

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


def _other_spec(written: IndexSpec, asked: IndexSpec) -> UsageError:
    return UsageError(
        f"the {written.name} index was written with {written.embedder or written.mapping}, "
        f"the settings say {asked.embedder or asked.mapping}",
        op="open index",
        subject=written.name,
        hint=f"set it back, or ingest with --force and then: {rebuild_hint(written.name)}",
    )
