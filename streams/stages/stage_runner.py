"""The stages after the fetch, for one document: known results where there are any, the pool for the rest."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.events import ArtifactRef, DocumentCompleted, Stage, StageReport
from streams.artifacts import ArtifactStore
from streams.contents import decode_text
from streams.stage_results import StageKey, StageResult, StageResults
from streams.stages.failures import StageFailed
from streams.stages.known_stages import KnownStages
from streams.stages.parsed import title_of
from streams.stages.pool import StagePool
from streams.stages.stage_task import StageAnswer, StageTask


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInput:
    """What goes into the first stage.

    Attributes:
        stages: Those to run, in order, up to EMBED.
        input_hash: SHA-256 hex of the content, or of the chunks artifact where only EMBED runs.
        media_type: Of `content`.
        content: What is parsed; None where only EMBED runs.
        chunks: What is embedded where only EMBED runs.
        live: The live version, whose vectors are kept for chunks that it shares.
        is_forced: Whether everything is done anew.
    """

    stages: Sequence[Stage]
    input_hash: str
    media_type: str = ""
    content: bytes | None = None
    chunks: ArtifactRef | None = None
    live: DocumentCompleted | None = None
    is_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """What the stages gave: a report for each that succeeded, and why the next one did not."""

    reports: Sequence[StageReport] = field(default_factory=list)
    title: str | None = None
    failure: StageFailed | None = None

    def report(self, stage: Stage) -> StageReport:
        """The report of `stage`, which succeeded."""
        return next(report for report in self.reports if report.stage is stage)

    def output(self, stage: Stage) -> ArtifactRef:
        """What `stage` gave."""
        output = self.report(stage).output
        assert output is not None  # noqa: S101 - every stage after the fetch keeps its output
        return output


class StageRunner:
    """Runs stages and keeps their outputs in the artifact store. Thread-safe; `run` blocks.

    `parser_calls` and `embedder_calls` count the documents for which a parser or the embedder was really asked.
    """

    def __init__(
        self, pool: StagePool, *, artifacts: ArtifactStore, stage_results: StageResults, uses_cache: bool
    ) -> None:
        configuration = pool.configuration
        self._pool = pool
        self._artifacts = artifacts
        self._uses_cache = uses_cache
        self._known = KnownStages(
            stage_results, artifacts, settings=configuration.settings, embedder=configuration.embedder
        )
        self._lock = threading.Lock()
        self.parser_calls = 0
        self.embedder_calls = 0

    def run(self, given: StageInput) -> StageRun:
        """The outputs of the stages of `given`, put or touched in the store and not synced.

        Raises:
            FatalError: of the store, or of the pool when its processes cannot be started.
            ArtifactMissing: the chunks of a live version are not there.
        """
        known: list[tuple[StageKey, StageResult]] = []
        if self._uses_cache and not given.is_forced:
            known = self._known.results(given.stages, given.input_hash, media_type=given.media_type)
        reports = [_cached(key, result) for key, result in known]
        if len(known) == len(given.stages):
            return StageRun(reports=reports, title=self._kept_title(reports))
        answer = self._answer(self._task(given, reports))
        input_hash = _output_hash(reports) or given.input_hash
        title = answer.title if given.content is not None and not reports else self._kept_title(reports)
        for output, ref in zip(
            answer.outputs, self._artifacts.put([output.data for output in answer.outputs]), strict=True
        ):
            key = self._known.key(output.stage, input_hash, media_type=given.media_type)
            reports.append(
                StageReport(
                    stage=output.stage,
                    fingerprint=key.fingerprint,
                    input_hash=input_hash,
                    output=ref,
                    duration_ms=output.duration_ms,
                    counts=output.counts,
                )
            )
            input_hash = ref.sha256
        return StageRun(reports=reports, title=title, failure=answer.failure)

    def _task(self, given: StageInput, done: Sequence[StageReport]) -> StageTask:
        """What is left to do after the stages that are `done`."""
        kept = None if given.is_forced else self._known.live_vectors(given.live)
        known_chunks, known_vectors = kept or (None, None)
        last = done[-1].output if done else given.chunks
        if last is None:
            return StageTask(
                media_type=given.media_type,
                content=given.content,
                known_chunks=known_chunks,
                known_vectors=known_vectors,
            )
        data = self._artifacts.get(last)
        if done and done[-1].stage is Stage.PARSE:
            return StageTask(text=data, known_chunks=known_chunks, known_vectors=known_vectors)
        return StageTask(chunks=data, known_chunks=known_chunks, known_vectors=known_vectors)

    def _answer(self, task: StageTask) -> StageAnswer:
        answer = self._pool.run(task)
        embedded = any(output.counts.get("embedded") for output in answer.outputs)
        with self._lock:
            self.parser_calls += task.first_stage is Stage.PARSE
            self.embedder_calls += embedded
        return answer

    def _kept_title(self, reports: Sequence[StageReport]) -> str | None:
        """The title that a parser gave when the text was made that is now known."""
        parsed = next((report for report in reports if report.stage is Stage.PARSE), None)
        if parsed is None or parsed.output is None or not parsed.counts.get("title_end"):
            return None
        return title_of(decode_text(self._artifacts.get(parsed.output)), parsed.counts)


def _cached(key: StageKey, result: StageResult) -> StageReport:
    return StageReport(
        stage=key.stage,
        fingerprint=key.fingerprint,
        input_hash=key.input_hash,
        output=result.output,
        cached=True,
        counts=result.counts,
    )


def _output_hash(reports: Sequence[StageReport]) -> str | None:
    output = reports[-1].output if reports else None
    return None if output is None else output.sha256
