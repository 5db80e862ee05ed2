"""The port of a source: an adapter that can also say whose documents are missing."""

from __future__ import annotations

from typing import Protocol

from streams.adapter import Adapter


class Source(Adapter, Protocol):
    """One source that is planned as a whole, so that what it no longer holds can be removed."""

    @property
    def source_root(self) -> str:
        """What every request for a document of this source carries; equal for equal sources, from run to run."""

    @property
    def source_uri(self) -> str:
        """What JobSubmitted keeps of it: enough to open the source again (`streams/adapters/sources.py`)."""
