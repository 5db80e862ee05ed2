"""Generations on this machine: a folder each, side by side in the index's own folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Generic

from projections.index.generation_store import BackendT_co
from schemas.errors import MachineError


class FolderGenerations(Generic[BackendT_co]):
    """Generations in folders of `directory`, which is theirs alone.

    `open_backend`, a backend's class or the like, is called with the folder and the name of a generation, and `create`
    as the port's `open`, whose errors it raises.
    """

    def __init__(self, directory: Path, open_backend: Callable[..., BackendT_co]) -> None:
        self.location = str(directory)
        self._directory = directory
        self._open_backend = open_backend

    def open(self, generation: str, *, create: bool) -> BackendT_co:
        """The index in the folder of `generation`; see the port."""
        return self._open_backend(self._directory / generation, generation, create=create)

    def drop_others(self, spared: str | None) -> None:
        """Delete every folder but that of `spared`.

        Raises:
            MachineError: that cannot be done.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for folder in self._directory.iterdir():
                if folder.name != spared:
                    shutil.rmtree(folder)
        except OSError as exc:
            raise MachineError(
                f"{self._directory}: {exc.strerror}",
                op="open index",
                subject=self.location,
                hint="make the data folder writable",
            ) from exc

    def point_alias(self, generation: str) -> None:
        """Nothing: only the owner of the data folder reads them."""
