"""Drafts made ready for Kafka, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock

from schemas.codec import Codec
from schemas.errors import PoisonError
from schemas.events import PipelineEvent
from schemas.extras import extra
from schemas.positions import Position, TopicPartition
from streams.log import Draft
from streams.logs.kafka.clients import MAX_RECORD_BYTES
from streams.placement import not_before

with extra("kafka"):
    from confluent_kafka import KafkaError, Message

ENVELOPE_BYTES = 1_024
"""What Kafka and the headers add to key and value, at most."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A record ready to be sent."""

    place: TopicPartition
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]


class Times:
    """The latest `occurred_at` of every partition, as far as this process knows, and clamping to it. Thread-safe.

    What stood in a partition before is asked once, by `last_event`. In `documents` that makes times non-decreasing,
    since its partitions have one writer, who forgets them when the slot is taken; elsewhere several processes write,
    and each one's times are.
    """

    def __init__(self, last_event: Callable[[TopicPartition], PipelineEvent | None]) -> None:
        self._last_event = last_event
        self._latest: dict[TopicPartition, datetime | None] = {}
        self._lock = Lock()

    def clamp(self, tp: TopicPartition, event: PipelineEvent) -> PipelineEvent:
        """`event`, moved up to the latest of `tp` if it was before; the next ones are not before it."""
        with self._lock:
            if tp not in self._latest:
                last = self._last_event(tp)
                self._latest[tp] = last.meta.occurred_at if last else None
            clamped = not_before(event, self._latest[tp])
            self._latest[tp] = clamped.meta.occurred_at
            return clamped

    def forget(self, tp: TopicPartition) -> None:
        """Ask again what stands last in `tp`: another process may have written it."""
        with self._lock:
            self._latest.pop(tp, None)


class Framing:
    """Makes drafts into records: clamps, encodes, adds headers `kind` and, if there is one, `traceparent`."""

    def __init__(self, codec: Codec, times: Times, *, traceparent: Callable[[], str | None]) -> None:
        self._codec = codec
        self._times = times
        self._traceparent = traceparent

    def framed(self, drafts: Sequence[Draft], places: Sequence[TopicPartition]) -> list[Framed]:
        """The records of `drafts`, each in its place.

        Raises:
            UnwritableEvent: a value does not fit its field.
            PoisonError: a record is larger than Kafka takes.
        """
        trace = self._traceparent()
        shared = {"traceparent": trace.encode()} if trace else {}
        return [self._frame(draft, tp, shared) for draft, tp in zip(drafts, places, strict=True)]

    def _frame(self, draft: Draft, tp: TopicPartition, shared: Mapping[str, bytes]) -> Framed:
        key = draft.key.encode()
        value = self._codec.encode(self._times.clamp(tp, draft.event))
        if len(key) + len(value) + ENVELOPE_BYTES > MAX_RECORD_BYTES:
            raise PoisonError(
                f"a {type(draft.event).__name__} of {len(value)} bytes is larger than a record may be",
                op="append",
                subject=draft.key,
                hint="send large contents as artifacts",
            )
        return Framed(tp, key, value, {"kind": type(draft.event).__name__.encode(), **shared})


def _drop_pending_error() -> None:
    """Clear an exception that the client left pending in this thread before it called back.

    A producer's fatal error (a fence) is raised by the client as if a callback had raised it, and stays pending while
    the callbacks of the records run. The next call of a built-in function then does its work and raises all the same:
    were that a lock's `__enter__`, the lock would be taken and never released. Nothing is lost with it: each record's
    own answer says what happened to it.
    """
    try:
        raise LookupError  # noqa: TRY301 - takes the place of what is pending, or fails because of it
    except (LookupError, SystemError):
        return


@dataclass(slots=True)
class Receipts:
    """What Kafka answered to the records of one append; `done` is set when every one was answered."""

    expected: int
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    errors: list[KafkaError] = field(default_factory=list)
    delivered: int = 0
    done: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)  # answers come in whatever thread polls the producer

    def receiver(self, tp: TopicPartition) -> Callable[[KafkaError | None, Message], None]:
        """What to call with the answer to a record of `tp`."""

        def receive(error: KafkaError | None, message: Message) -> None:
            _drop_pending_error()
            if error is not None:
                self.refuse(error, 1)
                return
            with self.lock:
                self.ends[tp] = max(self.ends.get(tp, 0), (message.offset() or 0) + 1)
                self.delivered += 1
                self._look()

        return receive

    def refuse(self, error: KafkaError, count: int) -> None:
        """Take `error` as the answer to `count` records."""
        with self.lock:
            self.errors += [error] * count
            self._look()

    def position(self) -> Position:
        """The position after the records."""
        return Position(self.ends)

    def _look(self) -> None:
        if self.delivered + len(self.errors) >= self.expected:
            self.done.set()
