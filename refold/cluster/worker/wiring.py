"""What a worker is made of: its slots, and the pool and the event loop that they share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from projections.manifest.view import ManifestView
from projections.stage_results.view import StageResultsView
from refold.cluster.awaited_views import once_there
from refold.cluster.corpus import Corpus
from refold.cluster.slot_set import SlotSet
from refold.cluster.worker.loop_pulse import LoopPulse
from refold.engine.assembly import parameters_of
from refold.engine.slots import OwnedSlot, attempts_of, slot_of
from schemas.events import DocumentEvent
from streams.slot.parts import uncounted
from streams.slot.workload import Workload


class WorkerParts:
    """The slots of a worker and what they share.

    The construction waits until a projector has made the views that slots read. `written` gets what slots write.
    """

    def __init__(self, corpus: Corpus, *, written: Callable[[Sequence[DocumentEvent]], None] = uncounted) -> None:
        settings = corpus.settings
        self._written = written
        self._corpus = corpus
        self._states = once_there(lambda: corpus.sql_view(ManifestView, read_only=True))
        self._results = once_there(lambda: corpus.sql_view(StageResultsView, read_only=True))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="attempts", daemon=True)
        self._thread.start()
        self._pulse = LoopPulse(self._loop, does="runs stages")
        self._pulse.begin()
        self.workload = Workload(settings.pool.in_flight)
        self._parameters = parameters_of(settings)
        self._attempts = attempts_of(corpus, self._results, allowed_roots=settings.cluster.allowed_roots)
        self._attempts.warm_up()  # before a start is written: no document is to blame for what happens until then
        self.slots = SlotSet(self._make)

    def not_ready(self) -> Sequence[str]:
        """What is wrong, for people."""
        return [*self.slots.not_ready(), *self._pulse.not_ready()]

    def close(self) -> None:
        """Give the slots up, end the pool and the loop."""
        self.slots.give_up(self.slots.numbers)
        asyncio.run_coroutine_threadsafe(self._attempts.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._states.close()
        self._results.close()

    def _make(self, number: int) -> OwnedSlot:
        return slot_of(
            number,
            self._corpus,
            states=self._states,
            attempts=self._attempts,
            parameters=self._parameters,
            workload=self.workload,
            loop=self._loop,
            is_assigned=lambda: self.slots.owns(number),
            written=self._written,
        )
