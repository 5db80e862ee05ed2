"""The port of a source: an adapter that can also say which documents are its own, and which of them are missing."""

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
