"""The open requests of a slot in the order they may be chosen: a bounded window over manifest and overlay."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from datetime import datetime

from schemas.events import Priority
from schemas.ids import DocumentId, JobId
from streams.document_state import DocumentState
from streams.document_states import DocumentStates, QueueEntry
from streams.overlay import Overlay
from streams.scheduler import WEIGHTS

PAGE = 256
"""Entries loaded at a time per priority: one query serves about a second of work."""

RETRIES_LIMIT = 10_000
"""Waiting retries kept in memory; when there are more, the manifest is asked again once the first of them is due."""


class Backlog:
    """What may be chosen next, per priority and in taken order.

    The truth is manifest plus overlay; this holds a window of at most `PAGE` entries per priority and refills it. An
    entry only says that a document may be worth deciding on: `streams/decide.py` decides over its state.
    """

    def __init__(self, states: DocumentStates, overlay: Overlay, partition: int) -> None:
        self._manifest = states
        self._overlay = overlay
        self._partition = partition
        self._windows: dict[Priority, deque[DocumentId]] = {p: deque() for p in WEIGHTS}
        self._cursors: dict[Priority, int] = dict.fromkeys(WEIGHTS, -1)
        self._may_hold_more: set[Priority] = set(WEIGHTS)
        self._retries: list[tuple[datetime, DocumentId, Priority]] = []
        self._rescan_at: datetime | None = None

    def rescan(self) -> None:
        """Begin again at the oldest open request: a job was resumed or cancelled, or retries were forgotten."""
        for priority in WEIGHTS:
            self._windows[priority].clear()
            self._cursors[priority] = -1
        self._may_hold_more = set(WEIGHTS)
        self._rescan_at = None

    def taken(self, priority: Priority) -> None:
        """A new request of `priority` was taken."""
        self._may_hold_more.add(priority)

    def come_back(self, document_id: DocumentId, priority: Priority) -> None:
        """The document is free again and has more open requests: it goes to the front, where it stood."""
        self._windows[priority].appendleft(document_id)

    def wait(self, document_id: DocumentId, priority: Priority, until: datetime) -> None:
        """The document is worth deciding on again at `until`."""
        heapq.heappush(self._retries, (until, document_id, priority))
        if len(self._retries) > RETRIES_LIMIT:
            self._retries.sort()
            forgotten = self._retries.pop()[0]
            self._rescan_at = min(self._rescan_at or forgotten, forgotten)

    def next_due(self) -> datetime | None:
        """When the next waiting retry is due, or None."""
        due = [self._retries[0][0]] if self._retries else []
        return min([*due, self._rescan_at] if self._rescan_at else due, default=None)

    def waiting(self, now: datetime, without_jobs: Collection[JobId]) -> Collection[Priority]:
        """The priorities from which `pop` would give something."""
        if self._rescan_at is not None and self._rescan_at <= now:
            self.rescan()
        while self._retries and self._retries[0][0] <= now:
            _, document_id, priority = heapq.heappop(self._retries)
            self._windows[priority].appendleft(document_id)
        for priority in WEIGHTS:
            if not self._windows[priority] and priority in self._may_hold_more:
                self._refill(priority, now, without_jobs)
        return [p for p in WEIGHTS if self._windows[p]]

    def pop(self, priority: Priority) -> DocumentId:
        """The next document of `priority`, which `waiting` has named."""
        return self._windows[priority].popleft()

    def ahead(self, priority: Priority, limit: int) -> list[DocumentId]:
        """The next `limit` documents of `priority` without taking them, so that their states are loaded together."""
        window = self._windows[priority]
        return [window[i] for i in range(min(limit, len(window)))]

    def _refill(self, priority: Priority, now: datetime, without_jobs: Collection[JobId]) -> None:
        cursor = self._cursors[priority]
        stored = self._manifest.open_requests(
            self._partition, priority=priority, after_order=cursor, limit=PAGE, without_jobs=without_jobs
        )
        # The overlay is asked second: what the manifest has folded between the two questions is still in it.
        fresh = [
            entry
            for state in self._overlay.open_states()
            for entry in _entries(state, priority)
            if entry.order > cursor and entry.job_id not in without_jobs
        ]
        is_last_page = len(stored) < PAGE
        entries = sorted(
            [e for e in stored if self._overlay.state(e.document_id) is None] + fresh, key=lambda e: e.order
        )
        if not is_last_page:
            entries = [e for e in entries if e.order <= stored[-1].order]
        page = entries[:PAGE]
        if is_last_page and len(page) == len(entries):
            self._may_hold_more.discard(priority)
        self._take_in(page, priority, now)
        reached = (
            page[-1].order if len(page) < len(entries) else max((e.order for e in [*stored, *page]), default=cursor)
        )
        self._cursors[priority] = max(cursor, reached)

    def _take_in(self, page: list[QueueEntry], priority: Priority, now: datetime) -> None:
        for entry in page:
            if entry.retry_at is not None and entry.retry_at > now:
                self.wait(entry.document_id, priority, entry.retry_at)
            else:
                self._windows[priority].append(entry.document_id)


def _entries(state: DocumentState, priority: Priority) -> list[QueueEntry]:
    return [
        QueueEntry(
            order=r.order,
            document_id=state.document_id,
            request_id=r.queued.request_id,
            job_id=r.queued.meta.job_id,
            priority=priority,
            retry_at=r.retry_at,
            is_started=r.started_by is not None,
        )
        for r in state.requests
        if r.queued.priority is priority
    ]
