"""Attempts at documents: fetch, parse, chunk and embed, with the last three in the stage pool."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from schemas.errors import FatalError, MachineError, PoisonError, TransientError
from schemas.events import Action, DocumentQueued, ErrorClass, Stage, StageReport, VectorsRef
from streams.artifacts import ArtifactStore
from streams.attempts.byte_budget import ByteBudget
from streams.attempts.pool import PoolClosed, StagePool
from streams.attempts.stage_runner import StageInput, StageRun, StageRunner
from streams.slot.attempt import Attempt, AttemptFailed, AttemptOutcome, Attempts, Produced, Unchanged, VectorsProduced
from streams.slot.workload import IN_FLIGHT_BYTES
from streams.source import ContentReader
from streams.stages.failures import FAILURES, StageFailed, code_of
from streams.stages.fetch import fetch
from streams.stages.fingerprints import fetch_fingerprint, stage_parameters, version_fingerprint
from streams.stages.media_types import media_type_of
from streams.stages.parse import missing_parser
from streams.stages.results import StageResults

UNKNOWN_SIZE_BYTES: Final = 8 * 1024 * 1024
"""What a document of unknown size counts as: more than nearly every web page has."""

THREADS_PER_PROCESS: Final = 2
"""While one waits for its process, the other reads the next document or stores the last one."""

_STAGES: Final = (Stage.PARSE, Stage.CHUNK, Stage.EMBED)


class PooledAttempts(Attempts):
    """Runs attempts with a stage pool. `run` belongs to one event loop; reading, hashing and storing happen in threads.

    Args:
        pool: Does the stages; closed by `close`.
        readers: By the name of the adapter in requests.
        artifacts: Keeps what stages produce, and holds pushed content.
        stage_results: The results that are known.
        in_flight_bytes: How many bytes of documents may be processed at the same time.
        uses_cache: Whether known stage results are used.
    """

    def __init__(
        self,
        pool: StagePool,
        *,
        readers: Mapping[str, ContentReader],
        artifacts: ArtifactStore,
        stage_results: StageResults,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
        uses_cache: bool = True,
    ) -> None:
        self._pool = pool
        self._settings = pool.configuration.settings
        self._embedder = pool.configuration.embedder
        self._readers = readers
        self._artifacts = artifacts
        self._runner = StageRunner(pool, artifacts=artifacts, stage_results=stage_results, uses_cache=uses_cache)
        self._budget = ByteBudget(in_flight_bytes)
        self._threads = ThreadPoolExecutor(pool.processes * THREADS_PER_PROCESS, thread_name_prefix="attempt")
        self._parameters = stage_parameters(self._settings, embed_fingerprint=self._embedder.fingerprint)

    @property
    def parameters(self) -> Mapping[str, str]:
        """The stages' fingerprints as DocumentStarted.parameters keeps them."""
        return self._parameters

    def start(self) -> None:
        """Start the pool's processes ahead of the first attempt, without waiting for them."""
        self._pool.start()

    def warm_up(self) -> None:
        """Return when the pool is ready, or has failed to be: then the first attempt tells."""
        with suppress(MachineError, PoolClosed):
            self._pool.warm_up()

    @property
    def parser_calls(self) -> int:
        """For how many documents a parser was asked so far."""
        return self._runner.parser_calls

    @property
    def embedder_calls(self) -> int:
        """For how many documents the embedder was asked so far."""
        return self._runner.embedder_calls

    async def run(self, attempt: Attempt) -> AttemptOutcome:
        """Run the stages of one attempt; never raises but FatalError, and CancelledError once `close` was called."""
        try:
            async with self._budget.holding(_expected_bytes(attempt.request)):
                is_reindex = attempt.request.action is Action.REINDEX
                return await self._in_thread(self._embed_live if is_reindex else self._build, attempt)
        except PoolClosed as exc:
            raise asyncio.CancelledError from exc
        except (FatalError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001 - the port's promise; a panic of a Rust library is no Exception
            return _failed(exc, stage=Stage.FETCH)

    async def close(self) -> None:
        """Stop the pool and everything in flight; attempts that still run are cancelled."""
        await asyncio.to_thread(self._pool.close)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, function: Callable[[Attempt], AttemptOutcome], attempt: Attempt) -> AttemptOutcome:
        """What `function` makes of `attempt`; a cancellation is told only once it has ended, or never begins."""
        running = self._threads.submit(_outcome_of, function, attempt)
        ended = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            running.cancel()
            while not ended.done():
                with suppress(asyncio.CancelledError):  # a second cancellation waits as well
                    await asyncio.wait([ended])
            raise

    def _build(self, attempt: Attempt) -> AttemptOutcome:
        """What becomes of the document's content: nothing new, or what the stages make of it."""
        request, live = attempt.request, attempt.live
        # Fetch it. Is this the live version once more?
        began_s = time.perf_counter()
        limit_bytes = self._settings.max_document_bytes
        content = fetch(request, readers=self._readers, artifacts=self._artifacts, limit_bytes=limit_bytes)
        fetch_ms = int((time.perf_counter() - began_s) * 1000)
        content_hash = hashlib.sha256(content.data).hexdigest()
        media_type = media_type_of(content.data, request.uri)
        fingerprint = version_fingerprint(
            self._settings, content_hash=content_hash, media_type=media_type, metadata=request.metadata
        )
        if live is not None and live.fingerprint == fingerprint and not request.force:
            return Unchanged(finding=content.finding)
        # Report the fetch; what has no parser ends here, without a trip to the pool.
        fetched = StageReport(
            stage=Stage.FETCH,
            fingerprint=fetch_fingerprint(),
            input_hash=content_hash,
            output=request.content_ref,
            duration_ms=fetch_ms,
            counts={"bytes": len(content.data)},
        )
        failure = missing_parser(media_type)
        if failure is not None:
            return _failed(failure, stage=Stage.PARSE, reports=[fetched])
        # Parse, chunk and embed, and put together what the log is told.
        given = StageInput(
            stages=_STAGES,
            input_hash=content_hash,
            media_type=media_type,
            content=content.data,
            live=live,
            is_forced=request.force,
        )
        run = self._runner.run(given)
        reports = [fetched, *run.reports]
        if run.failure is not None:
            return _failed(run.failure, stage=Stage.PARSE, reports=reports)
        return Produced(
            finding=content.finding,
            content_hash=content_hash,
            fingerprint=fingerprint,
            stages=reports,
            text=run.output(Stage.PARSE),
            chunks=run.output(Stage.CHUNK),
            vectors=[self._vectors(run)],
            chunk_count=run.report(Stage.CHUNK).counts["chunks"],
            media_type=media_type,
            title=run.title,
        )

    def _embed_live(self, attempt: Attempt) -> AttemptOutcome:
        """The live version's vectors by this pool's embedder."""
        live = attempt.live
        if live is None or live.chunks is None:
            raise StageFailed("no_live_version", "there is no live version to embed", stage=Stage.EMBED)
        given = StageInput(
            stages=[Stage.EMBED],
            input_hash=live.chunks.sha256,
            chunks=live.chunks,
            is_forced=attempt.request.force,
        )
        try:
            run = self._runner.run(given)
        except PoisonError as exc:
            return _failed(exc, stage=Stage.EMBED)
        if run.failure is not None:
            return _failed(run.failure, stage=Stage.EMBED)
        return VectorsProduced(vectors=self._vectors(run))

    def _vectors(self, run: StageRun) -> VectorsRef:
        return VectorsRef(embedder=self._embedder.name, dim=self._embedder.dim, ref=run.output(Stage.EMBED))


def _outcome_of(function: Callable[[Attempt], AttemptOutcome], attempt: Attempt) -> AttemptOutcome:
    try:
        return function(attempt)
    except StopIteration as exc:  # a future cannot carry it: its reader would wait for ever
        return _failed(exc, stage=Stage.FETCH)


def _expected_bytes(request: DocumentQueued) -> int:
    if request.content_ref is not None:
        return request.content_ref.size_bytes
    if request.finding is None or request.finding.size_bytes is None:
        return UNKNOWN_SIZE_BYTES
    return request.finding.size_bytes


def _failed(exc: BaseException, *, stage: Stage, reports: Sequence[StageReport] = ()) -> AttemptFailed:
    """What the log is told of `exc`; `stage` is where it happened unless the error itself knows."""
    match exc:
        case StageFailed():
            return AttemptFailed(
                stage=exc.stage or stage,
                stages=reports,
                error_class=FAILURES[exc.code].error_class,
                error_code=exc.code,
                message=str(exc),
                hint=FAILURES[exc.code].hint,
            )
        case TransientError() | PoisonError():
            retry_after_s = exc.retry_after_s if isinstance(exc, TransientError) else None
            return AttemptFailed(
                stage=stage,
                stages=reports,
                error_class=ErrorClass.TRANSIENT if isinstance(exc, TransientError) else ErrorClass.PERMANENT,
                error_code=code_of(exc),
                message=str(exc),
                hint=exc.hint,
                retry_after_s=retry_after_s,
            )
        case _:
            message = f"{type(exc).__name__}: {exc}"
            return _failed(StageFailed("stage_failed", message), stage=stage, reports=reports)
