"""The public API: a pipeline over one data folder, for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from projections.index.backend import Filters
from projections.search.filters import parse_filters
from projections.search.search import SearchAnswer
from refold import commands
from refold.api.ingest_options import ingest_arguments, resumed
from refold.api.ingest_stream import events_of_ingest
from refold.api.lifetime import Lifetime
from refold.api.stream import EventStream
from refold.api.subscription import Delivery, Subscription
from refold.commands.document_results import result_of, searchable_results
from refold.commands.ingest import job_of
from refold.commands.push import push
from refold.commands.results import DocumentResult, PipelineResult, joint_outcome
from refold.commands.search import find, search_mode
from refold.control.messages import Call, Json
from refold.engine.engine import Engine
from refold.settings.settings import Settings, load_settings
from schemas.errors import UsageError
from schemas.events import DocumentQueued, JobFinished, PipelineEvent, is_answer
from schemas.ids import DocumentId, JobId
from schemas.positions import Position

T = TypeVar("T")

BUFFER_SIZE = 100
PROGRESS_INTERVAL = 100
CHECKPOINT_INTERVAL = 1_000


class Pipeline:
    """Ingests and searches one corpus; made by `refold.open`, used as an async context manager.

    It owns the data folder while it is open: other processes' commands are answered by it. Everything heavy runs in
    threads and processes of its own, never on the caller's event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._lifetime = Lifetime(settings)

    async def __aenter__(self) -> Self:
        await self._lifetime.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lifetime.close()

    @property
    def _open_engine(self) -> Engine:
        return self._lifetime.engine

    # -- in

    @overload
    def stream_events(
        self,
        sources: Sequence[str | Path],
        *,
        buffer_size: int = ...,
        progress_interval: int = ...,
        checkpoint_interval: int = ...,
        resume_from: str | Position | None = ...,
        event_filter: Callable[[PipelineEvent], bool] | None = ...,
        event_transformer: None = ...,
        **options: Any,
    ) -> AsyncIterator[PipelineEvent]: ...

    @overload
    def stream_events(
        self,
        sources: Sequence[str | Path],
        *,
        buffer_size: int = ...,
        progress_interval: int = ...,
        checkpoint_interval: int = ...,
        resume_from: str | Position | None = ...,
        event_filter: Callable[[PipelineEvent], bool] | None = ...,
        event_transformer: Callable[[PipelineEvent], T],
        **options: Any,
    ) -> AsyncIterator[T]: ...

    async def stream_events(
        self,
        sources: Sequence[str | Path],
        *,
        buffer_size: int = BUFFER_SIZE,
        progress_interval: int = PROGRESS_INTERVAL,
        checkpoint_interval: int = CHECKPOINT_INTERVAL,
        resume_from: str | Position | None = None,
        event_filter: Callable[[PipelineEvent], bool] | None = None,
        event_transformer: Callable[[PipelineEvent], Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Ingest `sources` and yield what happens, as it happens.

        A slow consumer holds the pipeline back: no document starts while more than `buffer_size` events wait unread.
        One that leaves (`break`, cancellation) stops the job's intake; the job goes on when somebody works on the
        folder.

        An unfinished job of the same sources and options goes on first, told from its beginning to its JobFinished; the
        events of a job of its own for what has changed since follow. One that another stream of this pipeline reads is
        left to it.

        Args:
            sources: Folders, files or globs.
            buffer_size: Events that may wait unread.
            progress_interval: Answers between two BatchProgress.
            checkpoint_interval: Answers between two BatchProgress that carry a `checkpoint`.
            resume_from: A checkpoint: go on with the latest job over the same sources, after that position.
            event_filter: Which events are yielded; see `errors_only`, `progress_only`.
            event_transformer: What is yielded instead of an event.
            options: mode, force, priority, as_name, limit, allow_removals, as for `refold ingest`.

        Raises:
            UsageError: a source does not exist, or an option is not known.
        """
        engine, after = self._open_engine, None
        asked = await asyncio.to_thread(job_of, engine, ingest_arguments(sources, options))
        if resume_from is not None:
            after = resume_from if isinstance(resume_from, Position) else Position.parse(resume_from)
            asked = await self._lifetime.lend(lambda lent, _: resumed(lent, asked))
        stream_of = partial(
            EventStream,
            engine,
            buffer_size=buffer_size,
            progress_interval=progress_interval,
            checkpoint_interval=checkpoint_interval,
        )
        async with aclosing(events_of_ingest(self._lifetime, asked, after=after, stream_of=stream_of)) as events:
            async for event in events:
                if event_filter is None or event_filter(event):
                    yield event if event_transformer is None else event_transformer(event)

    async def iter_results(self, sources: Sequence[str | Path], **options: Any) -> AsyncIterator[DocumentResult]:
        """Ingest `sources` and yield each document's final answer; memory does not grow with their number."""
        uris: dict[DocumentId, str] = {}
        async for event in self.stream_events(sources, **options):
            if isinstance(event, DocumentQueued):
                uris[event.document_id] = event.uri
            elif is_answer(event):
                yield result_of(event, uris.pop(event.document_id, ""))

    async def run(self, sources: Sequence[str | Path], **options: Any) -> PipelineResult:
        """Ingest `sources`, wait until all of it is searchable, and return every answer.

        Keeps one DocumentResult (about 500 bytes) per document in memory; `iter_results` keeps none.
        """
        began_s = time.monotonic()
        answers: list[DocumentResult] = []
        uris: dict[DocumentId, str] = {}
        finished: list[JobFinished] = []
        async for event in self.stream_events(sources, **options):
            if isinstance(event, JobFinished):
                finished.append(event)
            elif isinstance(event, DocumentQueued):
                uris[event.document_id] = event.uri
            elif is_answer(event):
                answers.append(result_of(event, uris.pop(event.document_id, "")))
        position, results = await self._lifetime.lend(partial(searchable_results, answers))
        return PipelineResult(
            job_id=_job_id(finished[-1]),
            outcome=joint_outcome([(str(one.outcome), sum(one.counts.values())) for one in finished]),
            searchable=all(result.status != "parked" for result in results),
            documents=[result for result in results if result.status not in {"failed", "parked"}],
            errors=[result for result in results if result.status in {"failed", "parked"}],
            counts={name: sum(one.counts.get(name, 0) for one in finished) for name in finished[-1].counts},
            duration_s=time.monotonic() - began_s,
            position=str(position),
            resumed=[_job_id(one) for one in finished[:-1]],
        )

    async def add(
        self,
        name: str,
        *,
        text: str | None = None,
        data: bytes | None = None,
        metadata: Mapping[str, str] | None = None,
        priority: str = "normal",
    ) -> DocumentResult:
        """Push one document, called ``push:NAME``, and return its answer once it is searchable, or parked.

        Raises:
            UsageError: neither or both of `text` and `data` are given.
        """
        if (text is None) == (data is None):
            raise UsageError("give either text or data", op="add", hint="pipeline.add(name, text='…')")
        content = data if data is not None else (text or "").encode()
        pushed = partial(push, name, content, metadata=metadata, priority=priority)
        return (await self._lifetime.lend(pushed))[1]

    # -- out

    async def search(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        limit: int = 10,
        filters: Filters | Sequence[str] | None = None,
        wait_for: str | Position | None = None,
    ) -> SearchAnswer:
        """The best chunks for `query`, with each index's position.

        Args:
            query: Words or a question; ``"quoted words"`` must stand together in the keyword index.
            mode: hybrid, vector or keyword.
            limit: Hits at the most.
            filters: A Filters, or what the command line takes: ``["media_type=text/html"]``.
            wait_for: A position, job id, document uri or id that must be searchable first. For a position, documents
                that an index could not apply are in `parked` of the answer.

        Raises:
            RefoldError: a document or job that was waited for has failed, is parked, or cannot come.
        """
        wanted = filters if isinstance(filters, Filters) or filters is None else parse_filters(filters)

        def ask_indexes(engine: Engine, stop: threading.Event) -> SearchAnswer:
            return find(
                engine,
                query,
                mode=search_mode(mode),
                limit=limit,
                filters=wanted,
                wait_for=None if wait_for is None else str(wait_for),
                emit=lambda _: None,
                stop=stop,
            )

        return await self._lifetime.lend(ask_indexes)

    async def subscribe(
        self, topics: Collection[str] = (), *, after: Position | None = None, group: str | None = None
    ) -> AsyncIterator[Delivery]:
        """The events of `topics` as they come, without end: leave the loop, or close the pipeline.

        Args:
            topics: requests, documents, jobs, adapters, operations; all if empty.
            after: Where to begin, such as the position of the last delivery; by default where `group` has come to,
                else at the beginning of what the log keeps.
            group: A name under which is remembered what was handled: each event, once the next is asked for.

        Raises:
            UsageError: a topic is not known.
            PositionExpired: the log does not keep what comes after that position any more.
        """
        engine = self._open_engine
        positions = await asyncio.to_thread(engine.group_positions) if group is not None else None
        wanted = None if positions is None or group is None else (positions, group)
        subscription = Subscription(
            engine.parts.log, topics, after=after, group=wanted, stop=self._lifetime.closing, check=engine.check
        )
        try:
            async with aclosing(subscription.deliveries()) as deliveries:  # it stores how far it came when it is left
                async for delivery in deliveries:
                    yield delivery
        finally:
            if positions is not None:
                positions.close()

    async def call(self, command: str, **arguments: Any) -> Json:
        """The result of a command of the command line, such as ``call("verify", deep=True)``; JSON-able."""
        call = Call(command=command, arguments=arguments)
        return await self._lifetime.lend(lambda engine, stop: commands.run(engine, call, lambda _: None, stop))


def _job_id(finished: JobFinished) -> JobId:
    return JobId(str(finished.meta.job_id))


def open_pipeline(
    data: str | Path | None = None, *, config: str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Pipeline:
    """A pipeline over the data folder `data`; nothing is touched before ``async with``.

    Args:
        data: The data folder; ``./refold-data`` by default.
        config: A YAML file with settings.
        settings: Settings as nested dicts, such as ``{"chunking": {"size": 500}}``.
    """
    overrides = {**(settings or {}), **({"data": Path(data)} if data is not None else {})}
    return Pipeline(load_settings(overrides, config=Path(config) if config else None))
