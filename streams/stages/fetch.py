"""The fetch stage: the bytes of a document, whole, from its source or from the artifact store."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping

from schemas.errors import FatalError
from schemas.events import ArtifactRef, DocumentQueued, Finding
from streams.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactStore
from streams.source import Content, ContentReader, SourceTooLarge
from streams.stages.failures import StageFailed


def fetch(
    request: DocumentQueued, *, readers: Mapping[str, ContentReader], artifacts: ArtifactStore, limit_bytes: int
) -> Content:
    """The content that `request` is about, as it is now; blocks.

    Raises:
        StageFailed: it is too large, its adapter is unknown, or what was pushed is missing or damaged.
        SourceGone, SourceUnreadable, SourceUnavailable, SourceChanged: as the port of readers says.
    """
    if request.content_ref is not None:
        return _pushed(artifacts, request.content_ref, finding=request.finding, limit_bytes=limit_bytes)
    reader = readers.get(request.adapter)
    if reader is None:
        raise StageFailed("unknown_adapter", f"there is no adapter named {request.adapter!r}")
    try:
        return reader.read(request.finding or Finding(uri=request.uri), limit_bytes=limit_bytes)
    except SourceTooLarge as exc:
        raise StageFailed("too_large", str(exc)) from exc
    except CancelledError as exc:  # of a reader's own event loop: this attempt was not cancelled
        raise StageFailed("source_failed", "its reading was cancelled, and not by refold") from exc
    except FatalError as exc:  # a reader's error fails one document; it must not end the process
        raise StageFailed("source_failed", str(exc)) from exc


def _pushed(artifacts: ArtifactStore, ref: ArtifactRef, *, finding: Finding | None, limit_bytes: int) -> Content:
    if ref.size_bytes > limit_bytes:
        raise StageFailed("too_large", f"the document has {ref.size_bytes} bytes, more than {limit_bytes}")
    try:
        return Content(artifacts.get(ref), finding)
    except ArtifactMissing as exc:
        raise StageFailed("content_missing", "the pushed content is no longer stored") from exc
    except ArtifactDamaged as exc:
        raise StageFailed("content_damaged", f"the pushed content is not what was pushed: {exc}") from exc
