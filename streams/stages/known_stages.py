"""Stage results that are known already, as far as their artifacts are still there."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.events import DocumentCompleted, Stage
from streams.artifacts import ArtifactMissing, ArtifactStore
from streams.stage_results import StageKey, StageResult, StageResults
from streams.stages.embed import Embedder
from streams.stages.fingerprints import StageSettings, chunk_fingerprint, parse_fingerprint


class KnownStages:
    """Looks stage results up, one stage after the other, since each one's output is the next one's input.

    A result counts only if its artifact could be touched, which also keeps it from garbage collection.
    """

    def __init__(
        self, stage_results: StageResults, artifacts: ArtifactStore, *, settings: StageSettings, embedder: Embedder
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

    def results(
        self, stages: Sequence[Stage], input_hash: str, *, media_type: str
    ) -> list[tuple[StageKey, StageResult]]:
        """The results of `stages`, in order, up to the first that is not known."""
        found = []
        for stage in stages:
            key = self.key(stage, input_hash, media_type=media_type)
            result = self._stage_results.known([key]).get(key)
            if result is None or not self._artifacts.touch([result.output])[0]:
                break
            found.append((key, result))
            input_hash = result.output.sha256
        return found

    def live_vectors(self, live: DocumentCompleted | None) -> tuple[bytes, bytes] | None:
        """The chunks and vectors artifacts of `live`, if the same embedder made the vectors and both are there."""
        if live is None or live.chunks is None:
            return None
        made_by = {report.fingerprint for report in live.stages if report.stage is Stage.EMBED}
        vectors = next((vectors.ref for vectors in live.vectors if vectors.embedder == self._embedder_name), None)
        if vectors is None or made_by != {self._embed_fingerprint}:
            return None
        try:
            found = self._artifacts.get_many([live.chunks, vectors])
        except ArtifactMissing:
            return None
        return found[live.chunks.sha256], found[vectors.sha256]
