"""The stages after the fetch, for one document: known results where there are any, the pool for the rest."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.errors import DataFolderDamaged, PoisonError
from schemas.events import ArtifactRef, DocumentCompleted, Stage, StageReport
from streams.artifacts import ArtifactStore
from streams.attempts.pool import StagePool
from streams.attempts.task import StageAnswer, StageTask
from streams.stages.contents import decode_text, vectors_bytes
from streams.stages.embed import EmbedderSpec
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings, chunk_fingerprint, parse_fingerprint
from streams.stages.parse import title_of
from streams.stages.results import StageKey, StageResult, StageResults


@dataclass(frozen=True, slots=True)
class KnownStage:
    """A stage that need not run: its result, and the bytes of its output."""

    key: StageKey
    result: StageResult
    data: bytes


class KnownStages:
    """Looks stage results up, one stage after the other, since each one's output is the next one's input.

    Whatever is damaged of them is a miss, and the work is done again: that puts the right bytes in its place.
    """

    def __init__(
        self, stage_results: StageResults, artifacts: ArtifactStore, *, settings: StageSettings, embedder: EmbedderSpec
    ) -> None:
        self._stage_results = stage_results
        self._artifacts = artifacts
        self._chunk_fingerprint = chunk_fingerprint(settings)
        self._embed_fingerprint = embedder.fingerprint
        self._embedder_name = embedder.name

    def key(self, stage: Stage, input_hash: str, *, media_type: str) -> StageKey:
        """What the result of `stage` is known under."""
        match stage:
            case Stage.PARSE:
                fingerprint = parse_fingerprint(media_type)
            case Stage.CHUNK:
                fingerprint = self._chunk_fingerprint
            case _:
                fingerprint = self._embed_fingerprint
        return StageKey(stage, input_hash, fingerprint)

    def results(self, stages: Sequence[Stage], input_hash: str, *, media_type: str) -> list[KnownStage]:
        """The results of `stages`, in order, up to the first that is not known or whose artifact is not whole.

        Their artifacts are touched, which keeps them from garbage collection.
        """
        found: list[KnownStage] = []
        for stage in stages:
            key = self.key(stage, input_hash, media_type=media_type)
            result = self._known(key)
            data = None if result is None else self._touched(result.output)
            if result is None or data is None:
                break
            found.append(KnownStage(key, result, data))
            input_hash = result.output.sha256
        return found

    def live_vectors(self, live: DocumentCompleted | None) -> tuple[bytes, bytes] | None:
        """The chunks and vectors artifacts of `live`, if the same embedder made the vectors and both are whole."""
        if live is None or live.chunks is None:
            return None
        made_by = {report.fingerprint for report in live.stages if report.stage is Stage.EMBED}
        vectors = next((vectors.ref for vectors in live.vectors if vectors.embedder == self._embedder_name), None)
        if vectors is None or made_by != {self._embed_fingerprint}:
            return None
        try:
            found = self._artifacts.get_many([live.chunks, vectors])
        except PoisonError:
            return None
        return found[live.chunks.sha256], found[vectors.sha256]

    def _known(self, key: StageKey) -> StageResult | None:
        try:
            return self._stage_results.known([key]).get(key)
        except (DataFolderDamaged, ValueError, LookupError, TypeError):
            return None  # of the table, which its projection tells, or of this row, which the work done again replaces

    def _touched(self, ref: ArtifactRef) -> bytes | None:
        """The bytes of `ref`, marked as used; None if they are not all there."""
        try:
            return self._artifacts.get(ref) if self._artifacts.touch([ref])[0] else None
        except PoisonError:
            return None


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
        is_forced: Whether known results are ignored.
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
            ArtifactMissing, ArtifactDamaged: the chunks of a live version are not there.
        """
        known: Sequence[KnownStage] = ()
        if self._uses_cache and not given.is_forced:
            known = self._known.results(given.stages, given.input_hash, media_type=given.media_type)
        run = self._run(given, known)
        if known and run.failure is None and not self._adds_up(run):
            return self._run(given, ())  # what was known does not belong together
        return run

    def _run(self, given: StageInput, known: Sequence[KnownStage]) -> StageRun:
        reports = [_cached(stage) for stage in known]
        if len(known) == len(given.stages):
            return StageRun(reports=reports, title=_kept_title(known))
        answer = self._answer(self._task(given, known))
        input_hash = known[-1].result.output.sha256 if known else given.input_hash
        title = _kept_title(known) if known else answer.title
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

    def _adds_up(self, run: StageRun) -> bool:
        """Whether there is a vector for each chunk, where both stages were asked for."""
        chunked = next((report for report in run.reports if report.stage is Stage.CHUNK), None)
        if chunked is None:
            return True
        count, dim = chunked.counts.get("chunks"), self._pool.configuration.embedder.dim
        return count is not None and run.output(Stage.EMBED).size_bytes == vectors_bytes(count, dim)

    def _task(self, given: StageInput, known: Sequence[KnownStage]) -> StageTask:
        """What is left to do after the stages that are `known`."""
        kept = None if given.is_forced else self._known.live_vectors(given.live)
        known_chunks, known_vectors = kept or (None, None)
        if not known and given.content is not None:
            return StageTask(
                media_type=given.media_type,
                content=given.content,
                known_chunks=known_chunks,
                known_vectors=known_vectors,
            )
        if known and known[-1].key.stage is Stage.PARSE:
            return StageTask(text=known[-1].data, known_chunks=known_chunks, known_vectors=known_vectors)
        if known:
            chunks = known[-1].data
        else:
            assert given.chunks is not None  # noqa: S101 - where no content is given, chunks are
            chunks = self._artifacts.get(given.chunks)
        return StageTask(chunks=chunks, known_chunks=known_chunks, known_vectors=known_vectors)

    def _answer(self, task: StageTask) -> StageAnswer:
        answer = self._pool.run(task)
        embedded = any(output.counts.get("embedded") for output in answer.outputs)
        with self._lock:
            self.parser_calls += task.first_stage is Stage.PARSE
            self.embedder_calls += embedded
        return answer


def _cached(known: KnownStage) -> StageReport:
    return StageReport(
        stage=known.key.stage,
        fingerprint=known.key.fingerprint,
        input_hash=known.key.input_hash,
        output=known.result.output,
        cached=True,
        counts=known.result.counts,
    )


def _kept_title(known: Sequence[KnownStage]) -> str | None:
    """The title that a parser gave when the text was made that is now known."""
    parsed = next((stage for stage in known if stage.key.stage is Stage.PARSE), None)
    if parsed is None or not parsed.result.counts.get("title_end"):
        return None
    return title_of(decode_text(parsed.data), parsed.result.counts)
