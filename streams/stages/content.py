"""The fetch stage: the bytes of a document, whole, from its source or from the artifact store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schemas.errors import FatalError
from schemas.events import ArtifactRef, Finding
from streams.adapters.files import SourceTooLarge
from streams.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactStore
from streams.stages.failures import StageFailed


class Fetches(Protocol):
    """The part of an adapter (`streams/adapter.py`) that reads."""

    def fetch(self, finding: Finding) -> AsyncIterator[bytes]:
        """The content, in pieces; see the port."""


class ContentRead(Protocol):
    """Content, and what its source looked like when it was read."""

    @property
    def data(self) -> bytes:
        """The content."""

    @property
    def finding(self) -> Finding | None:
        """What the source looked like then."""


@runtime_checkable
class ReadsAtOnce(Protocol):
    """An adapter of a source so near that a blocking read in a thread beats pieces through the event loop."""

    def read(self, finding: Finding, *, limit_bytes: int | None = None) -> ContentRead:
        """The whole content; raises as `fetch` does, and SourceTooLarge beyond `limit_bytes`."""


@contextmanager
def blamed_on_source() -> Iterator[None]:
    """Within it, an adapter's error that would end the process is a failure of the document that it reads."""
    try:
        yield
    except FatalError as exc:
        raise StageFailed("source_failed", str(exc)) from exc


@dataclass(frozen=True, slots=True)
class Content:
    """What was fetched; `finding` is what the source looks like now."""

    data: bytes
    finding: Finding | None


def read_at_once(adapter: ReadsAtOnce, finding: Finding, *, limit_bytes: int) -> Content:
    """The content of `finding`; blocks.

    Raises:
        StageFailed: it is too large.
        SourceGone, SourceUnreadable, SourceUnavailable, SourceChanged: as the port of adapters says.
    """
    try:
        read = adapter.read(finding, limit_bytes=limit_bytes)
    except SourceTooLarge as exc:
        raise StageFailed("too_large", str(exc)) from exc
    return Content(read.data, read.finding)


async def fetch_in_pieces(adapter: Fetches, finding: Finding, *, limit_bytes: int) -> Content:
    """The content of `finding`; raises as `read_at_once` does."""
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in adapter.fetch(finding):
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise StageFailed("too_large", f"the source has more than the {limit_bytes} bytes that may be read")
    return Content(b"".join(pieces), finding)


def read_pushed(artifacts: ArtifactStore, ref: ArtifactRef, *, finding: Finding | None, limit_bytes: int) -> Content:
    """Content that was pushed, from the artifact store; blocks.

    Raises:
        StageFailed: it is too large, no longer there, or not what `ref` says.
    """
    if ref.size_bytes > limit_bytes:
        raise StageFailed("too_large", f"the document has {ref.size_bytes} bytes, more than {limit_bytes}")
    try:
        return Content(artifacts.get(ref), finding)
    except ArtifactMissing as exc:
        raise StageFailed("content_missing", "the pushed content is no longer stored") from exc
    except ArtifactDamaged as exc:
        raise StageFailed("content_damaged", f"the pushed content is not what was pushed: {exc}") from exc
