"""The next event of a document: what a start, a decision or an outcome is called in the log."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict

from schemas.codec import check_writable
from schemas.events import (
    DocumentCancelled,
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentQueued,
    DocumentReleased,
    DocumentRemoved,
    DocumentSkipped,
    DocumentStarted,
    ErrorClass,
    Meta,
    ReleaseReason,
    RemovalReason,
    SkipReason,
    Stage,
    VectorsAdded,
)
from schemas.ids import DocumentId, EventId, event_id_of
from streams.documents.state import DocumentState, OpenRequest
from streams.slot.attempt import AttemptFailed, AttemptOutcome, Produced, Unchanged, VectorsProduced
from streams.slot.retry import RetryPolicy

MAX_ANSWER_BYTES = 900 * 1024
"""The largest answer: Kafka's usual limit of 1 MB, less the key and room."""

MAX_SAID_CHARS = 1_000
"""Of each text of a failure: it may quote what a stranger sent, which may be long."""


class _About(TypedDict):
    """What every event of a document begins with."""

    meta: Meta
    document_id: DocumentId
    request_id: EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEventWriter:
    """Writes the next event of a document; `now` of each call becomes its `occurred_at`.

    Ids are deterministic: within an attempt they derive from its DocumentStarted, else from the request, so that doing
    it again after an unknown outcome gives the same id.
    """

    pipeline_id: str
    retries: RetryPolicy
    generator: random.Random

    def started(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, parameters: Mapping[str, str]
    ) -> DocumentStarted:
        """The start of an attempt; its ordinal is the number of starts so far."""
        return DocumentStarted(
            **self._about(state, request, "DocumentStarted", now, ordinal=request.starts, is_start=True),
            attempt=request.failures + 1,
            parameters=parameters,
        )

    def released(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, reason: ReleaseReason
    ) -> DocumentReleased:
        """The open start is given up in good order."""
        return DocumentReleased(
            **self._about(state, request, "DocumentReleased", now),
            reason=reason,
        )

    def skipped(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, reason: SkipReason
    ) -> DocumentSkipped:
        """Nothing had to be done."""
        return DocumentSkipped(
            **self._about(state, request, "DocumentSkipped", now),
            reason=reason,
            finding=request.queued.finding,
        )

    def removed(self, state: DocumentState, request: OpenRequest, now: datetime) -> DocumentRemoved:
        """The document left; a planner's removal names the source it was missing from."""
        is_from_scan = request.queued.source_root is not None
        return DocumentRemoved(
            **self._about(state, request, "DocumentRemoved", now),
            version=state.version,
            reason=RemovalReason.SOURCE_GONE if is_from_scan else RemovalReason.REQUESTED,
        )

    def cancelled(self, state: DocumentState, request: OpenRequest, now: datetime) -> DocumentCancelled:
        """The job was cancelled before this started."""
        return DocumentCancelled(
            **self._about(state, request, "DocumentCancelled", now),
        )

    def gave_up(self, state: DocumentState, request: OpenRequest, now: datetime, *, crashes: int) -> DocumentFailed:
        """The document crashed the process too often."""
        return DocumentFailed(
            **self._about(state, request, "DocumentFailed", now, ordinal="crashes"),
            error_class=ErrorClass.POISON,
            error_code="crashed_repeatedly",
            message=f"the process died {crashes} times while this document was in work",
            hint="look at the process's own log for the cause, then: refold ingest SOURCE --force",
            attempt=request.failures + 1,
        )

    def outcome(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, outcome: AttemptOutcome, duration_ms: int
    ) -> DocumentEvent:
        """What an attempt came to; what no log can hold of it is a failure of its document alone."""
        try:
            event = self._outcome(state, request, now, outcome=outcome, duration_ms=duration_ms)
            check_writable(event, limit_bytes=MAX_ANSWER_BYTES)
        except Exception as exc:  # noqa: BLE001 - raised here it would end the slot, for every document
            return self._failed(state, request, now, failed=_unwritable(exc))
        return event

    def _outcome(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, outcome: AttemptOutcome, duration_ms: int
    ) -> DocumentEvent:
        match outcome:
            case Produced():
                return self._completed(state, request, now, produced=outcome, duration_ms=duration_ms)
            case Unchanged():
                skipped = self.skipped(state, request, now, reason=SkipReason.UNCHANGED)
                return replace(skipped, finding=outcome.finding)
            case VectorsProduced():
                return VectorsAdded(
                    **self._about(state, request, "VectorsAdded", now),
                    version=state.version,
                    embedder=outcome.vectors.embedder,
                    ref=outcome.vectors.ref,
                    dim=outcome.vectors.dim,
                )
            case AttemptFailed():
                return self._failed(state, request, now, failed=outcome)

    def _completed(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, produced: Produced, duration_ms: int
    ) -> DocumentCompleted:
        queued = request.queued
        return DocumentCompleted(
            **self._about(state, request, "DocumentCompleted", now),
            version=state.version + 1,
            uri=queued.uri,
            source_root=_root_after(state.live, queued),
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
            metadata=queued.metadata,
            duration_ms=duration_ms,
        )

    def _failed(
        self, state: DocumentState, request: OpenRequest, now: datetime, *, failed: AttemptFailed
    ) -> DocumentFailed:
        attempt = request.failures + 1
        is_final = failed.error_class is not ErrorClass.TRANSIENT or self.retries.is_exhausted(attempt)
        retry_at = None
        if not is_final:
            retry_at = self.retries.retry_at(attempt, now, generator=self.generator, retry_after_s=failed.retry_after_s)
        return DocumentFailed(
            **self._about(state, request, "DocumentFailed", now),
            stage=failed.stage or Stage.UNKNOWN,
            stages=failed.stages,
            error_class=failed.error_class,
            error_code=_sayable(failed.error_code),
            message=_sayable(failed.message),
            hint=None if failed.hint is None else _sayable(failed.hint),
            attempt=attempt,
            is_final=is_final,
            retry_at=retry_at,
        )

    def _about(
        self,
        state: DocumentState,
        request: OpenRequest,
        kind: str,
        now: datetime,
        *,
        ordinal: int | str = 0,
        is_start: bool = False,
    ) -> _About:
        cause = request.queued.request_id if is_start else (request.started_id or request.queued.request_id)
        meta = Meta(
            event_id=event_id_of(cause, kind, ordinal),
            occurred_at=now,
            pipeline_id=self.pipeline_id,
            job_id=request.queued.meta.job_id,
            causation_id=cause,
            sequence=state.sequence + 1,
        )
        return {"meta": meta, "document_id": state.document_id, "request_id": request.queued.request_id}


def _root_after(live: DocumentCompleted | None, queued: DocumentQueued) -> str | None:
    """The source root of the next version: of those that brought the document, the one that says most.

    A root that the document does not lie in is the only trace of the link that led to it: it stays. Of the others the
    wider one does, for whoever asks for the documents of a folder means those in it, whoever brought them last.
    """
    roots = [version.source_root for version in (live, queued) if version is not None and version.source_root]
    return min(roots, key=lambda root: (queued.uri.startswith(_place_of(root)), len(root)), default=None)


def _place_of(source_root: str) -> str:
    """Where the documents of a source lie: its root without a pattern; `streams/documents/uris.py` says what is one."""
    return re.split(r"[*?[]", source_root, maxsplit=1)[0]


def _sayable(text: str) -> str:
    """`text` as every log can hold it: cut, and lone surrogates written out."""
    return text[:MAX_SAID_CHARS].encode(errors="backslashreplace").decode()


def _unwritable(exc: Exception) -> AttemptFailed:
    return AttemptFailed(
        stage=Stage.UNKNOWN,
        stages=(),
        error_class=ErrorClass.PERMANENT,
        error_code="unwritable_answer",
        message=f"what became of it cannot be written down: {type(exc).__name__}: {exc}",
        hint="this is a bug; please report it with this message",
    )
