"""A slot's own view of its documents: the manifest's rows, and above them what the manifest has not folded yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from schemas.events import DocumentEvent, DocumentQueued
from schemas.ids import DocumentId, EventId
from schemas.positions import Position, TopicPartition
from streams.documents.evolve import evolve
from streams.documents.state import DocumentState
from streams.documents.states import DocumentStates
from streams.log import EventLog

OVERLAY_LIMIT = 50_000
"""Events a slot may be ahead of the manifest: 100 MB or so. When full, nothing is taken or started."""

INTAKE_SHARE = 0.2
"""Share of that limit from which no more requests are taken in: a large plan comes faster than it is folded, and what
it leaves waiting here takes memory without making anything faster."""

FORGET_EVERY = 1_000
"""Events between two questions to the manifest about how far it is."""


class Overlay:
    """States of documents as of the end of the slot's partition.

    A document's state is the overlay's if it has one, else the manifest's; entries go once the manifest has passed
    their last event. Used by one thread.
    """

    def __init__(self, states: DocumentStates, partition: int, *, limit: int = OVERLAY_LIMIT) -> None:
        self._manifest = states
        self._tp = TopicPartition("documents", partition)
        self._limit = limit
        self._intake_limit = max(1, limit * INTAKE_SHARE)
        self._states: dict[DocumentId, tuple[DocumentState, int]] = {}
        self._prefetched: dict[DocumentId, DocumentState] = {}
        self._recent_requests: dict[EventId, tuple[DocumentId, int]] = {}
        self._taken_offsets: dict[str, int] = {}
        self._end_offset = 0
        self._passed_offset = 0

    @property
    def end_offset(self) -> int:
        """The offset after the last event that is folded in here."""
        return self._end_offset

    @property
    def is_full(self) -> bool:
        """Whether the manifest lags so far that nothing more may be taken or started."""
        return self._end_offset - self._passed_offset >= self._limit

    @property
    def has_room_for_intake(self) -> bool:
        """Whether more requests may be taken in; starts and answers have more room."""
        return self._end_offset - self._passed_offset < self._intake_limit

    def load(self, log: EventLog, until: Position) -> None:
        """Forget everything and fold what lies between the manifest and `until`."""
        self._states.clear()
        self._prefetched = {}
        self._recent_requests.clear()
        self._taken_offsets.clear()
        self._passed_offset = self._manifest.position().offset(self._tp)
        self._end_offset = self._passed_offset
        for batch in log.read([self._tp], Position({self._tp: self._passed_offset}), until):
            events = [(r.offset, r.event) for r in batch.recorded if isinstance(r.event, DocumentEvent)]
            known = self.states({event.document_id for _, event in events})
            self.fold(events, {**known})
            self._end_offset = batch.next_position.offset(self._tp)
        self._end_offset = max(self._end_offset, until.offset(self._tp))

    def states(self, document_ids: Collection[DocumentId]) -> dict[DocumentId, DocumentState]:
        """The states of all `document_ids`; an empty state for those without any event."""
        elsewhere = [d for d in document_ids if d not in self._states]
        found: Mapping[DocumentId, DocumentState] = {}
        if elsewhere:
            found, _ = self._manifest.states(elsewhere)
        return {d: self.state(d) or found.get(d) or DocumentState(document_id=d) for d in document_ids}

    def state(self, document_id: DocumentId) -> DocumentState | None:
        """The overlay's state, or None where the manifest's row is the truth."""
        entry = self._states.get(document_id)
        return entry[0] if entry else None

    def prefetch(self, document_ids: Sequence[DocumentId]) -> None:
        """Load what is not here of `document_ids`, all together: `latest` will be asked for each."""
        missing = [d for d in document_ids if d not in self._states and d not in self._prefetched]
        if missing:
            self._prefetched = self.states(missing)

    def is_at_hand(self, document_id: DocumentId) -> bool:
        """Whether `latest` has nothing to load."""
        return document_id in self._states or document_id in self._prefetched

    def latest(self, document_id: DocumentId) -> DocumentState:
        """The state of one document; an empty one if it has no event."""
        state = self.state(document_id) or self._prefetched.get(document_id)
        return state or self.states([document_id])[document_id]

    def fold(self, events: Iterable[tuple[int, DocumentEvent]], states: dict[DocumentId, DocumentState]) -> None:
        """Fold recorded `events` (offset, event) over `states`, which must hold each document's state."""
        for offset, event in events:
            state = states[event.document_id]
            if event.meta.sequence <= state.sequence:
                continue  # the manifest has moved on since we asked it where it stands
            state = states[event.document_id] = evolve(state, event, offset)
            self._states[event.document_id] = (state, offset)
            self._prefetched.pop(event.document_id, None)
            self._end_offset = max(self._end_offset, offset + 1)
            if isinstance(event, DocumentQueued):
                self._recent_requests[event.request_id] = (event.document_id, offset)
                self._taken_offsets[event.log_id] = max(self._taken_offsets.get(event.log_id, 0), event.offset + 1)

    def known_requests(self, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
        """For which documents those of `request_ids` were taken that were taken before."""
        recent = {(self._recent_requests[r][0], r) for r in request_ids if r in self._recent_requests}
        return recent | self._manifest.known_requests([r for r in request_ids if r not in self._recent_requests])

    def taken_offset(self, log_id: str) -> int:
        """The offset of `requests` after the last one taken from the log `log_id`."""
        stored = self._manifest.taken_offset(log_id, self._tp.partition)
        return max(stored, self._taken_offsets.get(log_id, 0))

    def open_states(self) -> Iterator[DocumentState]:
        """The overlay's documents that have open requests."""
        return (state for state, _ in self._states.values() if state.requests)

    def forget_passed(self, keep: Collection[DocumentId]) -> None:
        """Drop what the manifest has folded by now, but for the documents in `keep`; cheap when there is little."""
        if self._end_offset - self._passed_offset < min(FORGET_EVERY, self._intake_limit):
            return
        self._passed_offset = self._manifest.position().offset(self._tp)
        passed = [d for d, (_, last) in self._states.items() if last < self._passed_offset and d not in keep]
        for document_id in passed:
            del self._states[document_id]
        old = [r for r, (_, offset) in self._recent_requests.items() if offset < self._passed_offset]
        for request_id in old:
            del self._recent_requests[request_id]
