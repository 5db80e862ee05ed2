"""The ports of sources: a source is scanned and says which documents are its own, a reader reads their contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import PoisonError, TransientError
from schemas.events import Finding

CLOCK_GRAIN_NS = 2_000_000_000
"""A file may be written again within this time and keep its time stamp: FAT counts in 2 s, the coarsest in use."""


class SourceGone(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The source no longer holds this document."""


class SourceUnreadable(PoisonError):  # noqa: N818 - as above
    """The source does not let us read this document."""


class SourceTooLarge(PoisonError):  # noqa: N818 - as above
    """The document is larger than what may be read."""


class SourceUnavailable(TransientError):  # noqa: N818 - as above
    """The source cannot be reached now."""


class SourceChanged(TransientError):  # noqa: N818 - as above
    """The content changed while it was being read."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a source holds: its canonical uri and what was seen of it without reading.

    `is_trustworthy` is False for a finding too young to tell a later change by (the clock's grain): it is read again.
    """

    uri: str
    finding: Finding
    media_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_trustworthy: bool = True


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something a source holds that cannot be looked at; the scan goes on, and nothing below it counts as removed."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a document, and what its source looked like when they were read (None where that is not known)."""

    data: bytes
    finding: Finding | None


class ContentReader(Protocol):
    """Reads what the findings of one kind of adapter name, as its workers see it; called by several threads at once."""

    def read(self, finding: Finding, *, limit_bytes: int | None = None) -> Content:
        """The whole content; blocks.

        Raises:
            SourceTooLarge: it has more than `limit_bytes`.
            SourceGone, SourceUnreadable: final. SourceUnavailable, SourceChanged: worth trying again.
        """


class Source(Protocol):
    """One source, planned as a whole, so that what it no longer holds can be removed; an adapter connects each kind."""

    name: str

    def scan(self) -> Iterator[Found | Unreadable]:
        """What the source holds, lazily and without reading contents; each document once.

        Raises:
            UsageError: the source does not exist.
        """

    @property
    def source_root(self) -> str:
        """What every request for a document of this source carries; equal for equal sources, from run to run."""

    @property
    def source_uri(self) -> str:
        """What JobSubmitted keeps of it: enough to open the source again (`streams/sources/table.py`)."""

    @property
    def place(self) -> str:
        """What the uri of every document that lies in this source begins with."""

    def covers(self, uri: str) -> bool:
        """Whether a document of that uri lies in this source, even if another brought it or rules leave it out."""

    def still_holds(self, uri: str) -> bool:
        """Whether a document that a scan did not report is there all the same, so that only rules leave it out.

        Asked of documents that it covers or has reported once. What cannot be looked at is still there; a further name
        of a file that the scan reports is not.
        """
