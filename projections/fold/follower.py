"""Reads the log and applies it to a view, several events at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from projections.fold.projection import Projection
from projections.fold.view import View
from schemas.errors import FatalError
from schemas.positions import Position, TopicPartition
from streams.log import Batch, EventLog

ChangeT = TypeVar("ChangeT")


class ViewAhead(FatalError):  # noqa: N818 - a state, as in the error tree
    """The view stands beyond the end of the log: it was made from another one, or the log lost its tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How much is collected before it is applied.

    Attributes:
        max_changes: Changes that are applied together at the most (one event's changes are never parted).
        linger_s: How long a runner waits for more events before it reads; reading after every append costs more than
            it gains.
        store_every_events: Events that need no change and may be passed before the position is stored all the same.
        store_every_s: How long a passed event may wait for that.
    """

    max_changes: int = 1_000
    linger_s: float = 0.0
    store_every_events: int = 10_000
    store_every_s: float = 1.0


ONE_BY_ONE = Joining()
"""Each change is applied on its own, at once."""


class Follower(Generic[ChangeT]):
    """One reader of the log for one view; used by one thread at a time.

    It begins where the view stands, reads ahead in memory, and applies what it has joined with the position it has read
    to. After an error nothing is lost: `begin` again.
    """

    def __init__(
        self,
        log: EventLog,
        projection: Projection[ChangeT],
        view: View[ChangeT, Any],
        *,
        joining: Joining = ONE_BY_ONE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.partitions: Sequence[TopicPartition] = [tp for topic in projection.topics for tp in log.partitions(topic)]
        self._log = log
        self._projection = projection
        self._view = view
        self._joining = joining
        self._monotonic = monotonic
        self._stored = Position()
        self._read = Position()
        self._changes: list[ChangeT] = []
        self._offsets: dict[TopicPartition, int] = {}
        self._event_count = 0
        self._since_s = 0.0
        self._last_occurred_at: datetime | None = None

    @property
    def reached(self) -> Position:
        """How far everything is applied; events that need no change count as applied once they are read."""
        return self._stored if self._changes else self._read

    @property
    def read(self) -> Position:
        """How far the log is read."""
        return self._read

    @property
    def last_occurred_at(self) -> datetime | None:
        """When the last event happened that was read."""
        return self._last_occurred_at

    @property
    def is_displaced(self) -> bool:
        """Whether the view stands elsewhere than it was left: another writer has moved it, or it was set back."""
        return self._view.position() != self._stored

    def begin(self) -> None:
        """Go to where the view stands, and forget what was joined.

        Raises:
            ViewAhead: that is beyond the end of the log.
        """
        stored = self._view.position()
        if not self._log.end(self.partitions).reaches(stored):
            raise ViewAhead(
                op="follow",
                subject=self._projection.name,
                position=str(stored),
                hint="put the log back from a backup; to go on with the log as it is: refold rebuild all",
            )
        self._forget(stored)

    def catch_up(self, *, went_on: Callable[[], object] = lambda: None) -> Position:
        """Begin, apply everything up to where the log ends now, and return the position reached.

        `went_on` is called batch by batch. Raises what `begin` and `apply` do.
        """
        self.begin()
        self.read_on(should_stop=lambda: bool(went_on() and False))
        self.apply()
        return self.reached

    def read_on(self, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Read to where the log ends now, applying whenever enough is joined; what is left stays joined."""
        for batch in self._log.read(self.partitions, self._read):
            self._take(batch)
            if should_stop():
                return

    def apply(self) -> None:
        """Apply what is joined and store the position.

        Raises:
            PositionConflict: another writer has moved the view.
        """
        if self._read != self._stored:
            self._view.apply(self._changes, self._stored, self._read)
        self._forget(self._read)

    @property
    def is_due(self) -> bool:
        """Whether to apply what is joined now; a position without changes can wait."""
        is_old = self._monotonic() - self._since_s >= self._joining.store_every_s
        return bool(self._changes) or is_old or self._event_count >= self._joining.store_every_events

    def _take(self, batch: Batch) -> None:
        if self._read == self._stored:
            self._since_s = self._monotonic()
        for recorded in batch.recorded:
            self._changes.extend(self._projection.changes(recorded))
            self._offsets[TopicPartition(recorded.topic, recorded.partition)] = recorded.offset + 1
            self._last_occurred_at = recorded.event.meta.occurred_at
            if len(self._changes) >= self._joining.max_changes:
                self._read = self._read.joined(Position(self._offsets))
                self.apply()
        self._event_count += len(batch.recorded)
        self._read = self._read.joined(batch.next_position)

    def _forget(self, position: Position) -> None:
        self._stored = self._read = position
        self._changes = []
        self._offsets = {}
        self._event_count = 0
        self._since_s = self._monotonic()
