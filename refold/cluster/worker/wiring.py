"""What a worker is made of: its slots, and the pool and the event loop that they share."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Sequence

from refold.cluster.awaited_views import once_there
from refold.cluster.corpus import Corpus
from refold.cluster.slot_set import OwnedSlot, SlotSet
from refold.cluster.worker.loop_pulse import LoopPulse
from refold.engine.both_engines import now, parameters_of, stage_settings
from schemas.events import DocumentEvent
from streams.attempts.attempts import PooledAttempts
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.slot.answers import DocumentEventWriter
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot, SlotParts, uncounted
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from streams.sources.local.files import Files
from streams.stages.embed import embedder_spec


class WorkerParts:
    """The slots of a worker and what they share.

    The construction waits until a projector has made the views that slots read. `written` is told what slots write.
    """

    def __init__(self, corpus: Corpus, *, written: Callable[[Sequence[DocumentEvent]], None] = uncounted) -> None:
        settings = corpus.settings
        self._written = written
        self._corpus = corpus
        self._states = once_there(lambda: corpus.manifest(read_only=True))
        self._results = once_there(lambda: corpus.stage_results(read_only=True))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="attempts", daemon=True)
        self._thread.start()
        self._pulse = LoopPulse(self._loop, does="runs stages")
        self._pulse.begin()
        self.workload = Workload(settings.pool.in_flight)
        self._parameters = parameters_of(settings)
        embedder = embedder_spec(settings.indexes.embedder)
        self._attempts = PooledAttempts(
            StagePool(
                PoolConfiguration(settings=stage_settings(settings), embedder=embedder),
                processes=settings.pool.processes or os.cpu_count() or 1,
            ),
            readers={"folder": Files(allowed_roots=settings.cluster.allowed_roots)},
            artifacts=corpus.artifacts,
            stage_results=self._results,
            in_flight_bytes=settings.pool.in_flight_bytes,
            uses_cache=settings.stage_cache,
        )
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
        thread = SlotThread(
            log=self._corpus.log,
            attempts=self._attempts,
            loop=self._loop,
            is_assigned=lambda: self.slots.owns(number),
        )
        return OwnedSlot(Slot(number, self._slot_parts(thread, number)), thread)

    def _slot_parts(self, thread: SlotThread, number: int) -> SlotParts:
        corpus, retries = self._corpus, self._corpus.settings.retries
        return SlotParts(
            log=corpus.log,
            states=self._states,
            artifacts=corpus.artifacts,
            writer=DocumentEventWriter(
                pipeline_id=corpus.pipeline_id,
                retries=RetryPolicy(
                    max_attempts=retries.max_attempts,
                    base_delay_s=retries.base_delay_s,
                    max_delay_s=retries.max_delay_s,
                ),
                generator=random.Random(f"{corpus.pipeline_id}-{number}"),  # noqa: S311 - jitter, no secret
            ),
            workload=self.workload,
            begin=thread.begin,
            parameters=self._parameters,
            clock=now,
            monotonic=time.monotonic,
            wake=thread.wake,
            written=self._written,
            max_crashes=retries.max_crashes,
        )
