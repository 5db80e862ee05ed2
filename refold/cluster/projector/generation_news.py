"""Reports an index's generation to the log, once that holds anything else: an empty log stays empty for imports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from projections.consistency.rebuild import news_of
from projections.index.books.generations import Generation
from schemas.events import GenerationCreated
from streams.log import EventLog


class GenerationNews:
    """Appends GenerationCreated and GenerationPromoted of `generation`, unless they are there; `step` is cheap.

    A rebuild reports its generation itself, and an imported log has reported those that it had.
    """

    def __init__(
        self, log: EventLog, generation: Generation, *, pipeline_id: str, clock: Callable[[], datetime]
    ) -> None:
        self._log = log
        self._generation = generation
        self._pipeline_id = pipeline_id
        self._clock = clock
        self._is_told = False

    def step(self) -> None:
        """Report it, if it is time."""
        if self._is_told or not self._has_work():
            return
        if not self._is_known():
            self._log.append(None, news_of(self._generation, pipeline_id=self._pipeline_id, now=self._clock()))
        self._is_told = True

    def _has_work(self) -> bool:
        partitions = [*self._log.partitions("requests"), *self._log.partitions("documents")]
        return any(offset > 0 for offset in self._log.end(partitions).values())

    def _is_known(self) -> bool:
        partitions = self._log.partitions("operations")
        spec, name = self._generation.spec, self._generation.name
        return any(
            isinstance(event, GenerationCreated) and (event.index, event.generation) == (spec.name, name)
            for batch in self._log.read(partitions, self._log.begin(partitions))
            for event in (recorded.event for recorded in batch.recorded)
        )
