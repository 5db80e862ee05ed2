"""One append in the making: drafts, and the states as they will be once it is committed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.events import DocumentEvent, DocumentStarted, PipelineEvent
from schemas.ids import DocumentId
from streams.documents.evolve import evolve
from streams.documents.state import DocumentState
from streams.log import Draft
from streams.slot.attempt import Attempt
from streams.slot.flights import Flight


@dataclass(frozen=True, slots=True)
class NewStart:
    """What a turn starts: begun only after the append."""

    event: DocumentStarted
    attempt: Attempt


class Turn:
    """Collects what one commit appends, and what has to happen once it is appended.

    Every draft of `documents` has passed `evolve`, so that no impossible event and no broken sequence can be written.

    Attributes:
        now: When it is; the `occurred_at` of its events.
        started: What is to begin after the append.
        landed: The flights whose ends are in it.
    """

    def __init__(self, end_offset: int, now: datetime) -> None:
        self.now = now
        self.started: list[NewStart] = []
        self._starting: set[DocumentId] = set()
        self.landed: list[Flight] = []
        self._end_offset = end_offset
        self._states: dict[DocumentId, DocumentState] = {}
        self._before: dict[DocumentId, DocumentState] = {}
        self._drafts: list[Draft] = []
        self._events: list[DocumentEvent] = []

    @property
    def drafts(self) -> Sequence[Draft]:
        """What is to be appended, in order."""
        return self._drafts

    @property
    def events(self) -> Sequence[DocumentEvent]:
        """The drafts of topic `documents`, in order."""
        return self._events

    @property
    def states_before(self) -> dict[DocumentId, DocumentState]:
        """The documents this turn touches, as they were."""
        return self._before

    def state(self, document_id: DocumentId) -> DocumentState | None:
        """The document's state after this turn's drafts so far, or None if it is not touched."""
        return self._states.get(document_id)

    @property
    def starting(self) -> Collection[DocumentId]:
        """The documents that this turn starts."""
        return self._starting

    def start(self, event: DocumentStarted, attempt: Attempt) -> None:
        """Have the attempt begun once its drafted start is in the log."""
        self.started.append(NewStart(event, attempt))
        self._starting.add(event.document_id)

    def add(self, state: DocumentState, event: DocumentEvent) -> DocumentState:
        """Draft `event` on top of `state`, which is the document's latest, and return the state after it."""
        after = evolve(state, event, self._end_offset + len(self._events))
        self._before.setdefault(event.document_id, state)
        self._states[event.document_id] = after
        self._events.append(event)
        self._drafts.append(Draft("documents", event.document_id, event))
        return after

    def add_elsewhere(self, topic: str, key: str, event: PipelineEvent) -> None:
        """Draft an event of another topic."""
        self._drafts.append(Draft(topic, key, event))
