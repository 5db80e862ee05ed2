"""Which live documents their sources no longer hold, and whether so many may leave at once.

A document whose file is still there stays until somebody says otherwise, whatever the source's rules take by now: who
narrows them has not deleted anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

from schemas.errors import UsageError
from schemas.ids import DocumentId
from streams.scratch import SortedSpool

GUARDED_FROM = 10
"""The guard applies to sources with at least this many live documents; a smaller source may lose all of them."""

MAX_REMOVED_PERCENT = 30
"""More than this share of a source leaving at once looks like a disk that is not mounted, not like tidying up."""

ID_LENGTH = 36
"""Of a uuid in its canonical form."""


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


Expected = tuple[DocumentId, str, str]
"""A document's id, its uri, and the root of a source that it belongs to."""


class Unmet:
    """The live documents of each source, as of before its scan, that no scan has met; open it in a ``with``.

    First `expect` and `meet`, in any order, then `settle`, then ask for those `left_out` and those `gone`. What became
    live after it was asked about is not among them: another job may have added it behind the scan's back.
    """

    def __init__(self, scratch: Path) -> None:
        self._open = ExitStack()
        self._live = self._open.enter_context(SortedSpool(scratch))
        self._met = self._open.enter_context(SortedSpool(scratch))
        self._gone = self._open.enter_context(SortedSpool(scratch))
        self._left_out = self._open.enter_context(SortedSpool(scratch))
        self._live_counts: Counter[str] = Counter()
        self._gone_counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def expect(self, source_root: str, documents: Sequence[tuple[DocumentId, str]]) -> None:
        """Add live documents of a source, by id and canonical uri (which has no blanks); others may add them, too."""
        self._live.add([f"{document_id} {uri} {source_root}" for document_id, uri in documents])
        self._live_counts[source_root] += len(documents)

    def meet(self, document_ids: Iterable[DocumentId]) -> None:
        """Some source holds these."""
        self._met.add(document_ids)

    def settle(
        self, unreadable: Collection[str], *, still_holds: Callable[[str, str], bool] = lambda *_: False
    ) -> list[SourceLoss]:
        """What each source has lost.

        Args:
            unreadable: At or below one of these uris nothing is lost: nobody knows.
            still_holds: Whether a source, by its root, has the document of a uri all the same, so that it stays.
        """
        closed = {uri.rstrip("/") for uri in unreadable}
        for expected in _by_document(_without(self._live, self._met)):
            _, uri, _ = expected[0].split(" ")
            if _lies_below(uri, closed):
                continue
            roots = [line.split(" ")[2] for line in expected]
            if any(still_holds(root, uri) for root in roots):
                self._left_out.add(expected[:1])
            else:
                self._gone.add(expected[:1])
                self._gone_counts.update(roots)
        return [SourceLoss(root, live, self._gone_counts[root]) for root, live in self._live_counts.items()]

    @property
    def gone(self) -> Iterator[Expected]:
        """Each document that has left its sources, by id."""
        return map(_expected, self._gone)

    @property
    def left_out(self) -> Iterator[Expected]:
        """Each document that no scan has met although it is still there, by id."""
        return map(_expected, self._left_out)


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


def _by_document(lines: Iterable[str]) -> Iterator[list[str]]:
    """The sorted `lines` of each document together: one for every source that it belongs to."""
    return (list(of_one) for _, of_one in groupby(lines, key=lambda line: line[:ID_LENGTH]))


def _expected(line: str) -> Expected:
    document_id, uri, source_root = line.split(" ")
    return DocumentId(document_id), uri, source_root


def _lies_below(uri: str, closed: set[str]) -> bool:
    while uri and closed:
        if uri in closed:
            return True
        uri = uri.rpartition("/")[0]
    return False
