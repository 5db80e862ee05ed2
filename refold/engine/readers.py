"""Readers of a job's events that set its pace: while one is behind, no document of its job starts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from schemas.ids import JobId


class Reader(Protocol):
    """A reader of a job's events that must not be overrun."""

    job_id: JobId

    def is_near(self) -> bool:
        """True when it is near enough to the end for another document of its job to start."""


class Readers:
    """The readers in this process; thread-safe."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []
        self._start_more: Callable[[], object] = lambda: None

    def add(self, reader: Reader) -> None:
        """Let `reader` set the pace of its job."""
        self._readers.append(reader)

    def remove(self, reader: Reader) -> None:
        """Let its job go on without `reader`."""
        self._readers.remove(reader)
        self._start_more()

    def when_caught_up(self, start_more: Callable[[], object]) -> None:
        """Call `start_more` from now on whenever documents that were held back may start."""
        self._start_more = start_more

    def caught_up(self) -> None:
        """A reader that was behind has read on."""
        self._start_more()

    def jobs(self) -> Collection[JobId]:
        """The jobs that have a reader here."""
        return {reader.job_id for reader in list(self._readers)}

    def held_jobs(self) -> Collection[JobId]:
        """The jobs with a reader that is behind: no document of theirs starts, and nothing more is planned."""
        return {reader.job_id for reader in list(self._readers) if not reader.is_near()}
