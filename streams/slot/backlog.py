"""The open requests of a slot in the order they may be chosen: a bounded window over manifest and overlay."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

from schemas.events import Priority
from schemas.ids import DocumentId, JobId
from streams.documents.states import DocumentStates, QueueEntry
from streams.slot.overlay import Overlay
from streams.slot.queue_cursor import QueueCursor

WEIGHTS: Mapping[Priority, int] = {Priority.CRITICAL: 16, Priority.NORMAL: 4, Priority.BATCH: 1}
"""Of 21 choices with all three waiting, 16 are critical, 4 normal and 1 batch."""


class WeightedScheduler:
    """Chooses among the priorities that have something waiting, in proportion to their weights.

    The algorithm is nginx's smooth weighted round robin: each waiting priority gains its weight, the largest is
    chosen and pays the sum. Within any 21 choices with all waiting, each gets its exact share.
    """

    def __init__(self, weights: Mapping[Priority, int] = WEIGHTS) -> None:
        self._weights = dict(weights)
        self._credits = dict.fromkeys(weights, 0)

    def choose(self, waiting: Collection[Priority]) -> Priority:
        """The priority to take from next, of those `waiting`: at least one."""
        for priority in waiting:
            self._credits[priority] += self._weights[priority]
        chosen = max(waiting, key=lambda p: (self._credits[p], self._weights[p]))
        self._credits[chosen] -= sum(self._weights[p] for p in waiting)
        return chosen


RETRIES_LIMIT = 10_000
"""Waiting retries kept in memory; when there are more, the manifest is asked again once the first of them is due."""

UNSEEN_LIMIT = 10_000
"""Documents with news that nobody has looked at yet; when there are more, the whole queue is gone through instead."""

_Waiting = tuple[DocumentId, JobId | None]


class Backlog:
    """What may be chosen next, per priority and in taken order, and what is worth a look although nothing may start.

    The truth is manifest plus overlay; this holds a window of one page per priority (`QueueCursor`) and refills it. An
    entry only says that a document may be worth deciding on: `streams/slot/decide.py` decides over its state.
    """

    def __init__(self, states: DocumentStates, overlay: Overlay, partition: int) -> None:
        self._overlay = overlay
        self._cursors = {p: QueueCursor(states, overlay, partition, p) for p in WEIGHTS}
        self._windows: dict[Priority, deque[_Waiting]] = {p: deque() for p in WEIGHTS}
        self._retries: dict[DocumentId, tuple[datetime, Priority]] = {}
        self._due: list[tuple[datetime, DocumentId]] = []  # a heap; what `_retries` does not say is outdated
        self._rescan_at: datetime | None = None
        self._unseen: dict[DocumentId, None] = {}
        self._unseen_cursors = {p: QueueCursor(states, overlay, partition, p) for p in WEIGHTS}
        self.look_again()

    def rescan(self) -> None:
        """Begin again at the oldest open request: a job may go on, or retries were forgotten."""
        for window in self._windows.values():
            window.clear()
        for cursor in self._cursors.values():
            cursor.rewind()
        self._retries.clear()  # they are met again on the way
        self._due.clear()
        self._rescan_at = None

    def look_again(self) -> None:
        """Every document is worth a look: a job was cancelled or resumed."""
        self._unseen.clear()
        for cursor in self._unseen_cursors.values():
            cursor.rewind(until=self._overlay.end_offset)  # what is taken from now on is told of by `taken`

    def taken(self, document_id: DocumentId, priority: Priority) -> None:
        """A new request of `priority` was taken."""
        self._cursors[priority].grown()
        self._has_news(document_id)

    def come_back(self, document_id: DocumentId, priority: Priority) -> None:
        """The document is free again and has more open requests: it goes to the front, where it stood."""
        self._windows[priority].appendleft((document_id, None))
        self._has_news(document_id)

    def put_back(self, document_id: DocumentId, priority: Priority) -> None:
        """There was no room for this one after all; nothing else has changed."""
        self._windows[priority].appendleft((document_id, None))

    def wait(self, document_id: DocumentId, priority: Priority, until: datetime) -> None:
        """The document is worth deciding on again at `until`."""
        if self._retries.get(document_id) == (until, priority):
            return
        self._retries.pop(document_id, None)
        if self._rescan_at is not None and until >= self._rescan_at:
            return  # met again by the rescan
        self._retries[document_id] = (until, priority)
        heapq.heappush(self._due, (until, document_id))
        if len(self._retries) > RETRIES_LIMIT:
            self._forget_the_later_half()

    def next_due(self) -> datetime | None:
        """When the next waiting retry is due, or None."""
        self._drop_outdated()
        due = [self._due[0][0]] if self._due else []
        return min([*due, self._rescan_at] if self._rescan_at else due, default=None)

    def waiting(self, now: datetime, without_jobs: Collection[JobId]) -> Sequence[Priority]:
        """The priorities from which `pop` would give something that is not only for `without_jobs`."""
        if self._rescan_at is not None and self._rescan_at <= now:
            self.rescan()
        self._take_due(now)
        for priority in WEIGHTS:
            self._fill(priority, now, without_jobs)
        return [p for p in WEIGHTS if self._windows[p]]

    def pop(self, priority: Priority) -> DocumentId:
        """The next document of `priority`, which `waiting` has named."""
        return self._windows[priority].popleft()[0]

    def ahead(self, priority: Priority, limit: int) -> list[DocumentId]:
        """The next `limit` documents of `priority` without taking them, so that their states are loaded together."""
        window = self._windows[priority]
        return [window[i][0] for i in range(min(limit, len(window)))]

    def unseen(self, limit: int, without_jobs: Collection[JobId]) -> Sequence[DocumentId]:
        """The next documents, about `limit` at the most, that may have an answer that needs no work; each once."""
        found = list(islice(self._unseen, limit))
        for document_id in found:
            del self._unseen[document_id]
        if found:
            return found
        for cursor in self._unseen_cursors.values():
            for page in cursor.pages(without_jobs):
                if page:
                    return list(dict.fromkeys(entry.document_id for entry in page))
        return []

    @property
    def has_unseen(self) -> bool:
        """Whether `unseen` may tell of more."""
        return bool(self._unseen) or any(cursor.may_hold_more for cursor in self._unseen_cursors.values())

    def seen_all(self) -> None:
        """Everything that may be chosen was decided on: nothing is left that is worth a look."""
        self._unseen.clear()

    def _has_news(self, document_id: DocumentId) -> None:
        self._unseen[document_id] = None
        if len(self._unseen) > UNSEEN_LIMIT:
            self.look_again()

    def _fill(self, priority: Priority, now: datetime, without_jobs: Collection[JobId]) -> None:
        """Have something in the window that may be chosen, if there is anything at all."""
        window = self._windows[priority]
        while window and window[0][1] in without_jobs:
            window.popleft()  # met again by the rescan when its job may go on
        if window:
            return
        for page in self._cursors[priority].pages(without_jobs):
            for entry in page:
                self._take_in(entry, now)
            if window:
                return

    def _take_in(self, entry: QueueEntry, now: datetime) -> None:
        if entry.retry_at is not None and entry.retry_at > now:
            self.wait(entry.document_id, entry.priority, entry.retry_at)
        else:
            self._windows[entry.priority].append((entry.document_id, entry.job_id))

    def _take_due(self, now: datetime) -> None:
        self._drop_outdated()
        while self._due and self._due[0][0] <= now:
            _, document_id = heapq.heappop(self._due)
            _, priority = self._retries.pop(document_id)
            self._windows[priority].appendleft((document_id, None))
            self._drop_outdated()

    def _drop_outdated(self) -> None:
        while self._due and self._due[0][0] != self._retries.get(self._due[0][1], (None,))[0]:
            heapq.heappop(self._due)

    def _forget_the_later_half(self) -> None:
        by_time = sorted(self._retries, key=lambda document_id: self._retries[document_id][0])
        forgotten = by_time[RETRIES_LIMIT // 2 :]
        self._rescan_at = self._retries[forgotten[0]][0]
        for document_id in forgotten:
            del self._retries[document_id]
