"""The running attempts of a slot, and their outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from schemas.events import DocumentStarted
from schemas.ids import DocumentId, EventId
from streams.slot.attempt import AttemptOutcome
from streams.slot.workload import Entrance


@dataclass(slots=True)
class Flight:
    """An attempt from the append of its start to the append of its end."""

    started_id: EventId
    document_id: DocumentId
    request_id: EventId
    began_s: float
    is_over: bool = False  # its outcome is here, so it counts as work no more


class Flights:
    """Knows the running attempts, by the DocumentStarted each began with.

    When the slot is taken again, what was running is *left behind*: its outcome is worth nothing any more, but its
    document stays busy until the attempt has really ended, so that no two attempts of it are at work at once.

    All methods but `finished` are called from the slot's committer thread.
    """

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._finished: deque[tuple[EventId, AttemptOutcome | None]] = deque()
        self._flights: dict[EventId, Flight] = {}
        self._left_behind: dict[EventId, Flight] = {}
        self._busy: set[DocumentId] = set()
        self._freed: list[DocumentId] = []

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def busy(self) -> Collection[DocumentId]:
        """The documents that an attempt is at work on."""
        return self._busy

    def __iter__(self) -> Iterator[Flight]:
        """Those whose end is not in the log; not the ones that were left behind."""
        return iter(list(self._flights.values()))

    def began(self, started: DocumentStarted, began_s: float) -> None:
        """The start is in the log, and its document was admitted."""
        started_id = started.meta.event_id
        self._flights[started_id] = Flight(started_id, started.document_id, started.request_id, began_s)
        self._busy.add(started.document_id)

    def finished(self, started_id: EventId, outcome: AttemptOutcome | None) -> None:
        """The attempt has come to `outcome`, or was cancelled (None); thread-safe."""
        self._finished.append((started_id, outcome))

    def outcomes(self) -> Iterator[tuple[Flight, AttemptOutcome]]:
        """What has finished since this was asked last, each once."""
        for _ in range(len(self._finished)):
            started_id, outcome = self._finished.popleft()
            flight = self._flights.get(started_id)
            if started_id in self._left_behind:
                self._gone(self._left_behind[started_id])
            elif flight is not None and not flight.is_over and outcome is not None:
                self._is_over(flight)
                yield flight, outcome

    def freed(self) -> Sequence[DocumentId]:
        """The documents whose attempts were left behind and have ended by now; each is told once."""
        freed, self._freed = self._freed, []
        return freed

    def landed(self, started_id: EventId) -> Flight:
        """The end of this one is in the log."""
        flight = self._flights.pop(started_id)
        self._is_over(flight)
        self._busy.discard(flight.document_id)
        return flight

    def leave_behind(self) -> None:
        """The slot is taken again: what is running belongs to an ownership that is over."""
        self._left_behind.update(self._flights)
        for flight in self:
            if flight.is_over:
                self._gone(flight)
        self._flights.clear()

    def _gone(self, flight: Flight) -> None:
        del self._left_behind[flight.started_id]
        self._busy.discard(flight.document_id)
        self._freed.append(flight.document_id)
        self._is_over(flight)

    def _is_over(self, flight: Flight) -> None:
        if not flight.is_over:
            flight.is_over = True
            self._entrance.leave()
