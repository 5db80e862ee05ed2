"""Which live documents their sources no longer hold, and whether so many may leave at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schemas.errors import UsageError
from schemas.ids import DocumentId
from streams.scratch import open_scratch
from streams.sqlite_faults import translated

GUARDED_FROM = 10
"""Live documents of a source from which on the guard speaks; of fewer, all may leave."""

MAX_REMOVED_PERCENT = 30
"""More than this share of a source leaving at once looks like a disk that is not mounted, not like tidying up."""

_PAGE = 1_000


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

    What became live later is not among them: another job may have added it behind the scan's back.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._table = open_scratch(scratch)
        self._table.execute(
            "CREATE TABLE unmet (id TEXT PRIMARY KEY, uri TEXT NOT NULL, root TEXT NOT NULL) WITHOUT ROWID"
        )
        self._live: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._table.close()

    def expect(self, source_root: str, documents: Sequence[tuple[DocumentId, str]]) -> None:
        """Add live documents of a source, by id and uri."""
        rows = ((document_id, uri, source_root) for document_id, uri in documents)
        with translated("plan", self._scratch):
            self._table.executemany("INSERT OR REPLACE INTO unmet VALUES (?, ?, ?)", rows)
        self._live[source_root] = self._live.get(source_root, 0) + len(documents)

    def meet(self, document_ids: Iterable[DocumentId]) -> None:
        """Some source holds these."""
        with translated("plan", self._scratch):
            self._table.executemany("DELETE FROM unmet WHERE id = ?", ((document_id,) for document_id in document_ids))

    def spare_below(self, unreadable: Collection[str]) -> None:
        """Count as met what lies at or below an `unreadable` uri: nobody knows whether it is gone."""
        roots = {uri.rstrip("/") for uri in unreadable}
        if roots:
            for page in self._pages():
                self.meet(document_id for document_id, uri, _ in page if _lies_below(uri, roots))

    def losses(self) -> list[SourceLoss]:
        """What each source has lost."""
        with (
            translated("plan", self._scratch),
            closing(self._table.execute("SELECT root, count(*) FROM unmet GROUP BY root")) as rows,
        ):
            gone: dict[str, int] = dict(rows)
        return [SourceLoss(root, live, gone.get(root, 0)) for root, live in self._live.items()]

    def __iter__(self) -> Iterator[tuple[DocumentId, str, str]]:
        """The id, uri and source root of each document still unmet, by id."""
        for page in self._pages():
            yield from page

    def _pages(self) -> Iterator[list[tuple[DocumentId, str, str]]]:
        query = "SELECT id, uri, root FROM unmet WHERE id > ? ORDER BY id LIMIT ?"
        after = ""
        while True:
            with translated("plan", self._scratch), closing(self._table.execute(query, (after, _PAGE))) as rows:
                page = rows.fetchall()
            if not page:
                return
            yield page
            after = page[-1][0]


def _lies_below(uri: str, roots: set[str]) -> bool:
    while uri:
        if uri in roots:
            return True
        uri = uri.rpartition("/")[0]
    return False
