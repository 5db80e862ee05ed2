"""A slot with its thread, and the attempts that it begins: made here for both engines, never by hand."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refold.engine.assembly import now, stage_settings
from refold.engine.engine import Opened
from schemas.errors import RefoldError
from schemas.events import DocumentEvent
from schemas.ids import JobId
from streams.attempts.attempts import PooledAttempts
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.documents.states import DocumentStates
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempts
from streams.slot.parts import SlotParts, no_jobs, uncounted
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from streams.sources.local.files import Files
from streams.stages.embed import embedder_spec
from streams.stages.results import StageResults


@dataclass(frozen=True, slots=True)
class OwnedSlot:
    """A slot and the thread it lives in."""

    slot: Slot
    thread: SlotThread

    def start(self) -> None:
        """Take the slot and begin to work."""
        self.thread.start(self.slot)


def attempts_of(
    corpus: Opened, results: StageResults, *, allowed_roots: Sequence[Path] | None = None
) -> PooledAttempts:
    """Attempts in a pool of processes; files are read below `allowed_roots`, or anywhere."""
    settings = corpus.settings
    return PooledAttempts(
        StagePool(
            PoolConfiguration(settings=stage_settings(settings), embedder=embedder_spec(settings.indexes.embedder)),
            processes=settings.pool.processes or os.cpu_count() or 1,
        ),
        readers={"folder": Files(allowed_roots=allowed_roots)},
        artifacts=corpus.artifacts,
        stage_results=results,
        in_flight_bytes=settings.pool.in_flight_bytes,
        uses_cache=settings.stage_cache,
    )


def slot_of(
    number: int,
    corpus: Opened,
    *,
    states: DocumentStates,
    attempts: Attempts,
    parameters: Mapping[str, str],
    workload: Workload,
    loop: asyncio.AbstractEventLoop,
    is_assigned: Callable[[], bool] = lambda: False,
    on_failure: Callable[[RefoldError], None] = lambda _: None,
    held_jobs: Callable[[], Collection[JobId]] = no_jobs,
    written: Callable[[Sequence[DocumentEvent]], None] = uncounted,
) -> OwnedSlot:
    """Slot `number` with its thread, not started; its attempts run on `loop`. See SlotParts and SlotThread."""
    retries = corpus.settings.retries
    # The two need each other: the slot begins attempts through the thread, and the thread runs the slot.
    thread = SlotThread(log=corpus.log, attempts=attempts, loop=loop, is_assigned=is_assigned, on_failure=on_failure)
    writer = DocumentEventWriter(
        pipeline_id=corpus.pipeline_id,
        retries=RetryPolicy(
            max_attempts=retries.max_attempts, base_delay_s=retries.base_delay_s, max_delay_s=retries.max_delay_s
        ),
        generator=random.Random(f"{corpus.pipeline_id}-{number}"),  # noqa: S311 - jitter, no secret
    )
    parts = SlotParts(
        log=corpus.log,
        states=states,
        artifacts=corpus.artifacts,
        writer=writer,
        workload=workload,
        begin=thread.begin,
        parameters=parameters,
        clock=now,
        monotonic=time.monotonic,
        wake=thread.wake,
        held_jobs=held_jobs,
        written=written,
        max_crashes=retries.max_crashes,
    )
    return OwnedSlot(Slot(number, parts), thread)
