"""Forgetting requests that were taken: the one part of the log that does not keep everything."""

from __future__ import annotations

from schemas.positions import Position
from streams.documents.states import DocumentStates
from streams.log import EventLog

TRIM_EVERY = 10_000
"""Taken requests before the log is asked to forget them: a few megabytes."""


class RequestsTrimmer:
    """Trims `requests` below what the manifest has durably taken; `step` is cheap and called often.

    What is trimmed stands in `documents` as DocumentQueued, so nothing is lost but the copy.
    """

    def __init__(self, log: EventLog, manifest: DocumentStates, *, every: int = TRIM_EVERY) -> None:
        self._log = log
        self._manifest = manifest
        self._every = every
        self._partitions = log.partitions("requests")

    def step(self) -> None:
        """Trim what is worth it now."""
        begin = self._log.begin(self._partitions)
        if not any(end - begin.offset(tp) >= self._every for tp, end in self._log.end(self._partitions).items()):
            return
        taken = {tp: self._manifest.taken_offset(self._log.log_id, tp.partition) for tp in self._partitions}
        worth = {tp: offset for tp, offset in taken.items() if offset - begin.offset(tp) >= self._every}
        if worth:
            self._log.trim(Position(worth))
