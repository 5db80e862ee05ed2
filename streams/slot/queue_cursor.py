"""Reading the open requests of a slot and priority in taken order, a page at a time, over manifest and overlay."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from schemas.events import Priority
from schemas.ids import JobId
from streams.documents.states import DocumentStates, QueueEntry
from streams.slot.overlay import Overlay

PAGE = 256
"""Entries loaded at a time per priority: one query serves about a second of work."""


class QueueCursor:
    """Goes once through the open requests of `priority`, the oldest first; new ones come behind it.

    `may_hold_more` tells whether another page may hold something; with `until` given, what was taken from that order on
    is left out.
    """

    def __init__(self, states: DocumentStates, overlay: Overlay, partition: int, priority: Priority) -> None:
        self._manifest = states
        self._overlay = overlay
        self._partition = partition
        self._priority = priority
        self._order = -1
        self._until: int | None = None
        self.may_hold_more = True

    def rewind(self, *, until: int | None = None) -> None:
        """Begin again at the oldest."""
        self._order, self._until = -1, until
        self.may_hold_more = True

    def grown(self) -> None:
        """A request was taken."""
        self.may_hold_more = True

    def pages(self, without_jobs: Collection[JobId]) -> Iterator[Sequence[QueueEntry]]:
        """Pages of what comes next, but for `without_jobs`, to the end or until the caller has enough."""
        while self.may_hold_more:
            yield self._page(without_jobs)

    def _page(self, without_jobs: Collection[JobId]) -> Sequence[QueueEntry]:
        stored = self._manifest.open_requests(
            self._partition,
            priority=self._priority,
            after_order=self._order,
            limit=PAGE,
            without_jobs=without_jobs,
        )
        # The overlay is asked second: what the manifest has folded between the two questions is still in it.
        fresh = [e for e in self._fresh() if e.job_id not in without_jobs]
        is_last_page = len(stored) < PAGE
        entries = sorted(
            [e for e in stored if self._overlay.state(e.document_id) is None] + fresh, key=lambda e: e.order
        )
        if not is_last_page:
            entries = [e for e in entries if e.order <= stored[-1].order]
        page = entries[:PAGE]
        if is_last_page and len(page) == len(entries):
            self.may_hold_more = False
        reached = (
            page[-1].order
            if len(page) < len(entries)
            else max((e.order for e in [*stored, *page]), default=self._order)
        )
        self._order = max(self._order, reached)
        if self._until is None or reached < self._until:
            return page
        self.may_hold_more = False
        return [entry for entry in page if entry.order < self._until]

    def _fresh(self) -> Iterator[QueueEntry]:
        for state in self._overlay.open_states():
            for request in state.requests:
                if request.order > self._order and request.queued.priority is self._priority:
                    yield QueueEntry(
                        order=request.order,
                        document_id=state.document_id,
                        request_id=request.queued.request_id,
                        job_id=request.queued.meta.job_id,
                        priority=self._priority,
                        retry_at=request.retry_at,
                        is_started=request.started_by is not None,
                    )
