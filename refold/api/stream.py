"""A job's events for an asynchronous consumer that sets the pace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from refold.engine.engine import Engine
from refold.engine.job_events import JobEvents
from refold.engine.planning_thread import PlanningThread
from schemas.events import (
    Answer,
    BatchProgress,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentQueued,
    DocumentRemoved,
    DocumentSkipped,
    JobPlanned,
    Meta,
    PipelineEvent,
    VectorsAdded,
    is_answer,
)
from schemas.ids import JobId, event_id_of
from schemas.positions import Position, TopicPartition
from streams.log import Recorded

_Pumped = Sequence[Recorded] | BaseException | None


class EventStream:
    """Iterates a job's events; while more than `buffer_size` wait unread, no document of this job starts.

    A BatchProgress comes after every `progress_interval` answers that were taken out of this stream; after every
    `checkpoint_interval` it carries a checkpoint: the position to resume from, true of this very consumer.
    """

    def __init__(
        self,
        engine: Engine,
        job_id: JobId,
        after: Position,
        *,
        buffer_size: int,
        progress_interval: int,
        checkpoint_interval: int,
    ) -> None:
        self._engine = engine
        self.job_id = job_id
        self.planning: PlanningThread | None = None  # of a job that is not planned yet: its error ends the stream
        self._buffer_size = buffer_size
        self._stop = threading.Event()
        self._events = JobEvents(engine, job_id, after=after, stop=self._stop, at_the_end=self._reached_the_end)
        self._pumped: asyncio.Queue[_Pumped] = asyncio.Queue(maxsize=2)
        self._loop = asyncio.get_running_loop()
        self._handed_over = self._taken_out = 0  # each is written by one thread only: the pump, the consumer's
        self._was_far = False
        self._progress = _Progress(after, progress_interval, checkpoint_interval)

    def is_near(self) -> bool:
        """Whether the consumer is near enough for another document of its job to start."""
        is_near = self._events.unread() + self._handed_over - self._taken_out <= self._buffer_size
        self._was_far = not is_near
        return is_near

    def _reached_the_end(self) -> None:
        """What was unread were others' events, or the consumer has them: what was held back looks again.

        A job whose planning broke off does not finish before it is planned again: its reader gets the error.
        """
        if self._was_far:
            self._engine.readers.caught_up()
        if self.planning is not None and self.planning.error is not None:
            raise self.planning.error

    async def __aiter__(self) -> AsyncGenerator[PipelineEvent]:
        self._engine.readers.add(self)
        threading.Thread(target=self._pump, name="event-stream", daemon=True).start()
        try:
            while (batch := await self._pumped.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                for recorded in batch:
                    self._taken_out += 1
                    if isinstance(recorded.event, BatchProgress):
                        continue  # the log's own; this consumer gets its own below
                    yield recorded.event
                    progress = self._progress.after(recorded)
                    if progress is not None:
                        yield progress
                self._engine.readers.caught_up()
        finally:
            self._stop.set()
            self._engine.readers.remove(self)
            while not self._pumped.empty():
                self._pumped.get_nowait()  # lets a pump that is waiting for room see that it is over

    def _pump(self) -> None:
        """In a thread: read the log, and wait for room in the queue."""
        try:
            for batch in self._events.batches():
                for begin in range(0, len(batch), self._buffer_size):
                    self._put(batch[begin : begin + self._buffer_size])
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - the consumer must get it
            self._put(error)

    def _put(self, item: _Pumped) -> None:
        if isinstance(item, Sequence):
            self._handed_over += len(item)
        if not self._stop.is_set():
            asyncio.run_coroutine_threadsafe(self._pumped.put(item), self._loop).result()


class _Progress:
    """Counts what a consumer has taken out."""

    def __init__(self, after: Position, progress_interval: int, checkpoint_interval: int) -> None:
        self._position = after
        self._progress_interval = progress_interval
        self._checkpoint_interval = checkpoint_interval
        self._counts = {"completed_count": 0, "failed_count": 0, "skipped_count": 0}
        self._taken = 0
        self._requested: int | None = None
        self._answers = 0
        self._first: Meta | None = None

    def after(self, recorded: Recorded) -> BatchProgress | None:
        """The progress to report after `recorded`, if one is due."""
        event = recorded.event
        self._first = self._first or event.meta
        self._position = self._position.joined(
            Position({TopicPartition(recorded.topic, recorded.partition): recorded.offset + 1})
        )
        if isinstance(event, DocumentQueued):
            self._taken += 1
        if isinstance(event, JobPlanned):
            self._requested = event.requested
        if not is_answer(event):
            return None
        self._counts[_counter_of(event)] += 1
        self._answers += 1
        return self._told(event.meta) if self._answers % self._progress_interval == 0 else None

    def _told(self, meta: Meta) -> BatchProgress:
        assert self._first is not None  # noqa: S101 - an event was counted
        minutes = (meta.occurred_at - self._first.occurred_at).total_seconds() / 60
        per_minute = self._answers / minutes if minutes > 0 else 0.0
        remaining = max((self._requested or self._taken) - self._answers, 0)
        is_checkpoint = self._answers % self._checkpoint_interval < self._progress_interval
        job_id = str(meta.job_id)
        return BatchProgress(
            meta=replace(meta, event_id=event_id_of(job_id, "BatchProgress", self._answers), sequence=0),
            **self._counts,
            remaining=remaining,
            documents_per_minute=per_minute,
            eta_s=remaining / per_minute * 60 if per_minute and self._requested else None,
            checkpoint=str(self._position) if is_checkpoint else "",
        )


def _counter_of(event: Answer) -> str:
    match event:
        case DocumentCompleted() | DocumentRemoved() | VectorsAdded():
            return "completed_count"
        case DocumentFailed():
            return "failed_count"
        case DocumentSkipped() | DocumentCancelled():
            return "skipped_count"
