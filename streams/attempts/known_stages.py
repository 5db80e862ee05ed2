"""Stage results that are known already, as far as their artifacts are still whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.errors import DataFolderDamaged, PoisonError
from schemas.events import ArtifactRef, DocumentCompleted, Stage
from streams.artifacts import ArtifactStore
from streams.stages.embed import EmbedderSpec
from streams.stages.fingerprints import StageSettings, chunk_fingerprint, parse_fingerprint
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
