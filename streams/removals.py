"""Which live documents their sources no longer hold, and whether so many may leave at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from schemas.errors import UsageError
from schemas.ids import DocumentId
from streams.sorted_spool import SortedSpool

GUARDED_FROM = 10
"""Live documents of a source from which on the guard speaks; of fewer, all may leave."""

MAX_REMOVED_PERCENT = 30
"""More than this share of a source leaving at once looks like a disk that is not mounted, not like tidying up."""

ID_LENGTH = 36
"""Of a uuid in its canonical form."""

_PORTION = 1_000


class MassRemovalRefused(UsageError):  # noqa: N818 - a state, as in the error tree
    """So many documents of a source are gone that somebody has to say that it is meant."""


@dataclass(frozen=True, slots=True)
class SourceLoss:
    """How many of a source's live documents were not found again."""

    source_root: str
    live: int
    gone: int

    @property
    def is_refused(self) -> bool:
        """Whether this needs an explicit yes."""
        return self.live >= GUARDED_FROM and self.gone * 100 > MAX_REMOVED_PERCENT * self.live


def refuse_mass_removal(losses: Iterable[SourceLoss]) -> None:
    """Raise MassRemovalRefused, naming every source that lost too much."""
    refused = [loss for loss in losses if loss.is_refused]
    if refused:
        counts = "; ".join(f"{loss.gone} of {loss.live} documents of {loss.source_root}" for loss in refused)
        raise MassRemovalRefused(
            f"no longer there: {counts}; more than {MAX_REMOVED_PERCENT}% of a source is not removed unasked",
            op="plan",
            subject=refused[0].source_root,
            hint="check that the source is complete (mounted?); if it is, say --allow-removals",
        )


class Unmet:
    """The live documents of each source, as of before its scan, that no scan has met; open it in a ``with``.

    First `expect` and `meet`, in any order, then `settle`, then iterate. What became live after it was asked about is
    not among them: another job may have added it behind the scan's back.
    """

    def __init__(self, scratch: Path) -> None:
        self._open = ExitStack()
        self._live = self._open.enter_context(SortedSpool(scratch))
        self._met = self._open.enter_context(SortedSpool(scratch))
        self._gone = self._open.enter_context(SortedSpool(scratch))
        self._live_counts: Counter[str] = Counter()
        self._gone_counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def expect(self, source_root: str, documents: Sequence[tuple[DocumentId, str]]) -> None:
        """Add live documents of a source, by id and canonical uri (which has no blanks)."""
        self._live.add([f"{document_id} {uri} {source_root}" for document_id, uri in documents])
        self._live_counts[source_root] += len(documents)

    def meet(self, document_ids: Iterable[DocumentId]) -> None:
        """Some source holds these."""
        self._met.add(document_ids)

    def settle(self, unreadable: Collection[str]) -> list[SourceLoss]:
        """What each source has lost. At or below an `unreadable` uri nothing is: nobody knows."""
        closed = {uri.rstrip("/") for uri in unreadable}
        for lines in _portions(_without(self._live, self._met)):
            gone = [line for line in lines if not _lies_below(line.split(" ")[1], closed)]
            self._gone.add(gone)
            self._gone_counts.update(line.split(" ")[2] for line in gone)
        return [SourceLoss(root, live, self._gone_counts[root]) for root, live in self._live_counts.items()]

    def __iter__(self) -> Iterator[tuple[DocumentId, str, str]]:
        """The id, uri and source root of each document that is gone, by id."""
        for line in self._gone:
            document_id, uri, source_root = line.split(" ")
            yield DocumentId(document_id), uri, source_root


def _without(lines: Iterable[str], ids: Iterable[str]) -> Iterator[str]:
    """Those of the sorted `lines` that begin with none of the sorted `ids`."""
    rest = iter(ids)
    met = next(rest, None)
    for line in lines:
        document_id = line[:ID_LENGTH]
        while met is not None and met < document_id:
            met = next(rest, None)
        if met != document_id:
            yield line


def _portions(lines: Iterator[str]) -> Iterator[list[str]]:
    while portion := list(islice(lines, _PORTION)):
        yield portion


def _lies_below(uri: str, closed: set[str]) -> bool:
    while uri and closed:
        if uri in closed:
            return True
        uri = uri.rpartition("/")[0]
    return False
