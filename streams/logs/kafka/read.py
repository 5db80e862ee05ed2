"""Reading the records of partitions between two offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from threading import Lock
from time import monotonic

from schemas.avro_files import NAMESPACE
from schemas.codec import Codec, UnknownSchemaId, UnreadableEvent
from schemas.errors import RefoldError, TransientError
from schemas.extras import extra
from schemas.positions import Position, TopicPartition
from streams.log import Batch, Recorded, Undecodable, damaged, expired
from streams.logs.kafka.faults import fault_of, mapped_kafka_errors
from streams.logs.kafka.marks import KafkaMarks
from streams.logs.kafka.names import KafkaNames

with extra("kafka"):
    from confluent_kafka import Consumer, Message
    from confluent_kafka import TopicPartition as KafkaPartition

MAX_BATCH_RECORDS = 1_000

POLL_S = 0.05
"""How long to wait for records before looking whether commit markers alone have moved the position to the end."""

STALL_TIMEOUT_S = 60.0
"""How long a read may stand still before it fails: longer than Kafka takes to abort a dead slot's transaction (15 s for
the transaction, 10 s until the coordinator looks)."""

_PASSING = frozenset({"_PARTITION_EOF", "_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE"})
"""What a consumer mentions and recovers from by itself; if it does not, the read stands still and fails."""


class ReadStalled(TransientError):  # noqa: N818 - a state, as in the error tree
    """What lies before the end cannot be read: a transaction is open, or Kafka does not answer."""


class KafkaReads:
    """Reads of committed records, each with a consumer of its own; consumers are kept for the next read. Thread-safe.

    A read ends where the high watermark was when it began, not at the last stable offset: while somebody's transaction
    is open below it, the read waits, and after `stall_timeout_s` it raises ReadStalled rather than end early.
    """

    def __init__(
        self,
        names: KafkaNames,
        codec: Codec,
        marks: KafkaMarks,
        make_consumer: Callable[[], Consumer],
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
    ) -> None:
        self._names = names
        self._codec = codec
        self._marks = marks
        self._make_consumer = make_consumer
        self._stall_timeout_s = stall_timeout_s
        self._lock = Lock()
        self._idle: list[Consumer] = []
        self._is_closed = False

    def read(self, spans: Mapping[TopicPartition, range], after: Position) -> Iterator[Batch]:
        """The records at the offsets of `spans`, in batches; see the port. `after` is where reading was."""
        going = {tp: span for tp, span in spans.items() if span}
        if not going:
            return
        with self._borrowed() as consumer:
            reading = _Reading(self._names, self._codec, consumer, going)
            position, moved_at_s = after, monotonic()
            while reading.is_going():
                self._marks.check_open()
                batch = reading.next_batch(position)
                if batch.next_position != position or batch.recorded or batch.undecodable:
                    position, moved_at_s = batch.next_position, monotonic()
                    yield batch
                if reading.failure is not None:
                    raise reading.failure
                if monotonic() - moved_at_s > self._stall_timeout_s:
                    raise self._stalled(reading.left())

    def close(self) -> None:
        """Close the consumers that are idle now; the others as they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for consumer in idle:
            consumer.close()

    @contextmanager
    def _borrowed(self) -> Iterator[Consumer]:
        with self._lock:
            consumer = self._idle.pop() if self._idle else None
        consumer = consumer or self._make_consumer()
        try:
            yield consumer
        except Exception:
            consumer.close()  # whatever it was, the next read begins with another
            raise
        except BaseException:  # the reader has seen enough, or Ctrl-C
            self._give_back(consumer)
            raise
        else:
            self._give_back(consumer)

    def _give_back(self, consumer: Consumer) -> None:
        consumer.resume(consumer.assignment())
        consumer.unassign()
        with self._lock:
            if not self._is_closed:
                self._idle.append(consumer)
                return
        consumer.close()

    def _stalled(self, left: Mapping[TopicPartition, range]) -> ReadStalled:
        tp, span = next(iter(left.items()))
        stable = self._marks.stable_end([tp]).offset(tp)
        why = "a transaction is open there" if stable <= span.start else "Kafka does not deliver them"
        name = self._names.topic(tp.topic)
        return ReadStalled(
            f"the records {span.start} to {span.stop - 1} of {name} partition {tp.partition} did not come within "
            f"{self._stall_timeout_s:g} s: {why}",
            op="read",
            subject=f"{name}:{tp.partition}",
            position=str(Position({tp: span.start})),
            hint=f"kafka-transactions.sh find-hanging --topic {name} --partition {tp.partition}; its abort ends it",
        )


class _Reading:
    """One read: where it stands in each partition, and what stopped it."""

    def __init__(
        self, names: KafkaNames, codec: Codec, consumer: Consumer, spans: Mapping[TopicPartition, range]
    ) -> None:
        self._names = names
        self._codec = codec
        self._consumer = consumer
        self._at = {tp: span.start for tp, span in spans.items()}
        self._stops = {tp: span.stop for tp, span in spans.items()}
        self.failure: RefoldError | None = None
        with mapped_kafka_errors("read", "assignment"):
            consumer.assign(self._in_kafka(spans))

    def is_going(self) -> bool:
        """Whether any partition has not come to its end."""
        return bool(self._stops)

    def left(self) -> dict[TopicPartition, range]:
        """The offsets that were not passed yet."""
        return {tp: range(self._at[tp], stop) for tp, stop in self._stops.items()}

    def next_batch(self, position: Position) -> Batch:
        """What has come, at most a thousand records, and the position after it; `failure` is what comes next."""
        recorded: list[Recorded] = []
        undecodable: list[Undecodable] = []
        with mapped_kafka_errors("read", "records"):
            messages = self._take()
            for message in messages:
                self._receive(message, recorded, undecodable)
                if self.failure is not None:
                    break
            else:
                self._pass_markers()
        return Batch(recorded, position.joined(Position(self._at)), undecodable)

    def _take(self) -> Sequence[Message]:
        # `consume` alone waits until it has all of the asked number; `poll` comes back with the first.
        first = self._consumer.poll(POLL_S)
        return [] if first is None else [first, *self._consumer.consume(MAX_BATCH_RECORDS - 1, timeout=0)]

    def _receive(self, message: Message, recorded: list[Recorded], undecodable: list[Undecodable]) -> None:
        tp = TopicPartition(self._names.short(message.topic()), message.partition() or 0)
        error = message.error()
        if error is not None:
            if error.name() not in _PASSING:
                self.failure = self._failed(tp, message)
            return
        offset = message.offset() or 0
        if tp not in self._stops or offset >= self._stops[tp]:
            return
        # Anyone may write requests, so one that does not decode is handed on; in our own topics it is damage.
        try:
            recorded.append(_recorded(tp, message, self._codec))
        except UnknownSchemaId as exc:
            if tp.topic != "requests":
                self.failure = _placed(exc, tp, offset)
                return
            subjects = f"{self._names.topic('requests')}-{NAMESPACE}.…"
            undecodable.append(_undecodable(tp, message, f"the registry has no {exc.subject} of a subject {subjects}"))
        except UnreadableEvent as exc:
            if tp.topic != "requests":
                self.failure = damaged(tp, offset, str(exc))
                return
            undecodable.append(_undecodable(tp, message, str(exc)))
        except RefoldError as exc:
            self.failure = _placed(exc, tp, offset)
            return
        self._at[tp] = offset + 1

    def _pass_markers(self) -> None:
        """Move on to where the consumer stands, which has passed commit markers and aborted records, and stop."""
        for there in self._consumer.position(self._in_kafka(self._stops)):
            tp = TopicPartition(self._names.short(there.topic), there.partition)
            self._at[tp] = min(max(self._at[tp], there.offset), self._stops[tp])
        done = [tp for tp, stop in self._stops.items() if self._at[tp] >= stop]
        for tp in done:
            del self._stops[tp]
        if done and self._stops:
            self._consumer.pause(self._in_kafka(done))

    def _failed(self, tp: TopicPartition, message: Message) -> RefoldError:
        error = message.error()
        if error is None or error.name() != "_AUTO_OFFSET_RESET":
            return fault_of(error, "read", subject=f"{tp.topic}:{tp.partition}")  # type: ignore[arg-type]
        low, _ = self._consumer.get_watermark_offsets(self._in_kafka([tp])[0], timeout=10.0)
        return expired(tp, self._at[tp], begin_offset=low)

    def _in_kafka(self, partitions: Mapping[TopicPartition, object] | Sequence[TopicPartition]) -> list[KafkaPartition]:
        return [KafkaPartition(self._names.topic(tp.topic), tp.partition, self._at[tp]) for tp in partitions]


def _recorded(tp: TopicPartition, message: Message, codec: Codec) -> Recorded:
    """The record in `message`; raises as `Codec.decode` does."""
    try:
        key = (message.key() or b"").decode()
    except UnicodeDecodeError as exc:
        raise UnreadableEvent(f"its key is no text: {exc}", op="decode") from exc
    frame = message.value() or b""
    event = codec.decode(frame)
    digest = sha256(frame).hexdigest() if tp.topic == "requests" else ""
    return Recorded(tp.topic, tp.partition, message.offset() or 0, key, event, digest)


def _undecodable(tp: TopicPartition, message: Message, error: str) -> Undecodable:
    digest = sha256(message.value() or b"").hexdigest()
    return Undecodable(tp.topic, tp.partition, message.offset() or 0, message.key() or b"", digest, error)


def _placed(error: RefoldError, tp: TopicPartition, offset: int) -> RefoldError:
    """`error`, which says where it was met."""
    error.position = error.position or str(Position({tp: offset}))
    return error
