"""A small world for attempts: a folder, a store, the results that the log would tell, and one pool for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.events import Action, ArtifactRef, DocumentCompleted, DocumentQueued, Meta, Stage, StageReport
from schemas.ids import EventId, document_id_of, random_id
from streams.artifact_stores.memory import MemoryArtifacts
from streams.attempts.attempts import PooledAttempts
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.documents.uris import file_uri
from streams.slot.attempt import Attempt, AttemptFailed, AttemptOutcome, Produced, Unchanged
from streams.source import ContentReader
from streams.sources.local.files import Files, finding_of
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings
from streams.stages.results import StageKey, StageResult
from tests.samples.flipped_bits import flipped
from tests.samples.hostile import OBEDIENT_PARSERS


def make_pool(settings: StageSettings | None = None, *, processes: int = 2) -> StagePool:
    """A pool whose plain text parser does what texts tell it to."""
    configuration = PoolConfiguration(
        settings=settings or StageSettings(), embedder=load_embedder(DEFAULT_EMBEDDER), parsers=OBEDIENT_PARSERS
    )
    return StagePool(configuration, processes=processes)


class RememberedResults:
    """The stage results of outcomes that were told to it, as the projection of the log would give them."""

    def __init__(self) -> None:
        self._results: dict[StageKey, StageResult] = {}

    def remember(self, reports: Sequence[StageReport]) -> None:
        for report in reports:
            if report.output is not None and report.stage is not Stage.FETCH:
                key = StageKey(report.stage, report.input_hash, report.fingerprint)
                self._results[key] = StageResult(report.output, report.counts)

    def known(self, keys: Sequence[StageKey]) -> Mapping[StageKey, StageResult]:
        return {key: self._results[key] for key in keys if key in self._results}


class AttemptWorld:
    """Runs attempts at files of a folder and remembers what they came to."""

    def __init__(
        self,
        folder: Path,
        pool: StagePool,
        *,
        readers: Mapping[str, ContentReader] | None = None,
        before: AttemptWorld | None = None,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.artifacts: MemoryArtifacts = before.artifacts if before else MemoryArtifacts(lambda: datetime.now(UTC))
        self.results: RememberedResults = before.results if before else RememberedResults()
        self.attempts = PooledAttempts(
            pool,
            readers=readers or {"folder": Files()},
            artifacts=self.artifacts,
            stage_results=self.results,
            **options,
        )

    def write(self, name: str, content: str | bytes) -> str:
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def harm(self, ref: ArtifactRef) -> None:
        """Turn a bit of a stored artifact over."""
        self.artifacts._blobs[ref.sha256] = flipped(self.artifacts._blobs[ref.sha256])

    def request(self, name: str, **fields: Any) -> DocumentQueued:
        path = self.folder / name
        uri = fields.pop("uri", None) or file_uri(str(path))
        if "finding" not in fields:
            fields["finding"] = finding_of(file_uri(str(path)), path.lstat(), now_ns=0)[0]
        return DocumentQueued(
            meta=Meta(event_id=EventId(random_id()), occurred_at=datetime.now(UTC), pipeline_id="test"),
            document_id=document_id_of(uri),
            request_id=EventId(random_id()),
            uri=uri,
            **{"adapter": "folder", **fields},
        )

    async def outcome(self, name: str, *, live: DocumentCompleted | None = None, **fields: Any) -> AttemptOutcome:
        outcome = await self.attempts.run(Attempt(request=self.request(name, **fields), live=live, attempt=1))
        if isinstance(outcome, Produced | AttemptFailed):
            self.results.remember(outcome.stages)
        return outcome

    async def produced(self, name: str, *, live: DocumentCompleted | None = None, **fields: Any) -> Produced:
        outcome = await self.outcome(name, live=live, **fields)
        assert isinstance(outcome, Produced), outcome
        return outcome

    async def failed(self, name: str, **fields: Any) -> AttemptFailed:
        outcome = await self.outcome(name, **fields)
        assert isinstance(outcome, AttemptFailed), outcome
        return outcome

    async def is_unchanged(self, name: str, *, live: DocumentCompleted, **fields: Any) -> bool:
        return isinstance(await self.outcome(name, live=live, **fields), Unchanged)

    @property
    def calls(self) -> tuple[int, int]:
        """How often a parser and the embedder were asked."""
        return self.attempts.parser_calls, self.attempts.embedder_calls


def completed(produced: Produced, *, version: int = 1) -> DocumentCompleted:
    """The version that the log would hold after `produced`."""
    uri = "file:///whatever"
    return DocumentCompleted(
        meta=Meta(event_id=EventId(random_id()), occurred_at=datetime.now(UTC), pipeline_id="test", sequence=version),
        document_id=document_id_of(uri),
        request_id=EventId(random_id()),
        version=version,
        uri=uri,
        finding=produced.finding,
        content_hash=produced.content_hash,
        fingerprint=produced.fingerprint,
        stages=produced.stages,
        text=produced.text,
        chunks=produced.chunks,
        vectors=produced.vectors,
        chunk_count=produced.chunk_count,
        media_type=produced.media_type,
        title=produced.title,
    )


def reports_of(outcome: Produced | AttemptFailed) -> dict[Stage, StageReport]:
    """The stage reports of `outcome`, by stage."""
    return {report.stage: report for report in outcome.stages}


REINDEX = {"action": Action.REINDEX}
