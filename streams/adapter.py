"""The port of adapters, which connect sources; the adapters stand in `streams/adapters/`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import PoisonError, TransientError
from schemas.events import Finding


class SourceGone(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The source no longer holds this document."""


class SourceUnreadable(PoisonError):  # noqa: N818 - as above
    """The source does not let us read this document."""


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


class Adapter(Protocol):
    """Connects one kind of source."""

    name: str

    def scan(self) -> Iterator[Found | Unreadable]:
        """What the source holds, lazily and without reading contents; each document once.

        Raises:
            UsageError: the source does not exist.
        """

    def fetch(self, finding: Finding) -> AsyncIterator[bytes]:
        """The content, in pieces.

        Raises:
            SourceGone, SourceUnreadable: final. SourceUnavailable, SourceChanged: worth trying again.
        """
