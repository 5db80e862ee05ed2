"""Appends outside a slot: one idempotent producer, shared by every thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread

from schemas.errors import RefoldError, UsageError
from schemas.extras import extra
from schemas.positions import Position
from streams.log import UnknownOutcome
from streams.logs.kafka.clients import DELIVERY_TIMEOUT_MS
from streams.logs.kafka.faults import fault_of, is_uncertain, mapped_kafka_errors
from streams.logs.kafka.names import KafkaNames
from streams.logs.kafka.records import Framed, Receipts
from streams.logs.kafka.slot import discard, produce

with extra("kafka"):
    from confluent_kafka import KafkaException, Producer

ANSWER_TIMEOUT_S = DELIVERY_TIMEOUT_MS / 1_000 + 5.0
"""Longer than a record is tried, so that each has its answer."""

POLL_S = 0.1
"""How long the thread that takes answers waits for one; closing waits that long for the thread."""


class KafkaAppends:
    """Appends without a transaction, from any number of threads; those that come together share requests.

    Within a partition the records of an append stand together and in order. Between partitions an append is not
    atomic: if only some of it was received, UnknownOutcome says so. Ids of events are deterministic, so that whoever
    appends the same again adds nothing that readers would count twice.

    The producer is made at the first append, and again after an error that it does not survive.
    """

    def __init__(self, names: KafkaNames, make_producer: Callable[[], Producer]) -> None:
        self._names = names
        self._make_producer = make_producer
        self._lock = Lock()
        self._producer: Producer | None = None
        self._answers: Thread | None = None
        self._is_closed = False

    def append(self, make_records: Callable[[], Sequence[Framed]]) -> Position:
        """Append what `make_records` gives, which nothing of another append comes between."""
        with self._lock, mapped_kafka_errors("append", "requests"):
            if self._is_closed:
                raise UsageError("the log is closed", hint="open it again")
            records = make_records()
            receipts = Receipts(len(records))
            producer = self._open()
            self._hand_over(producer, records, receipts)
        receipts.done.wait(ANSWER_TIMEOUT_S)
        if receipts.delivered < receipts.expected:
            self._renew(producer, receipts)
            raise _failure(receipts)
        return receipts.position()

    def close(self) -> None:
        """Wait for what is on its way, and let go of the producer."""
        with self._lock:
            self._is_closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.flush(ANSWER_TIMEOUT_S)
            discard(producer)
        if self._answers is not None:
            self._answers.join()

    def _open(self) -> Producer:
        if self._producer is None:
            self._producer = self._make_producer()
            self._answers = Thread(target=self._take_answers, args=(self._producer,), name="kafka-answers", daemon=True)
            self._answers.start()
        return self._producer

    def _hand_over(self, producer: Producer, records: Sequence[Framed], receipts: Receipts) -> None:
        """Give `producer` the records; the first that it refuses ends it, as if Kafka had refused the rest."""
        for number, record in enumerate(records):
            try:
                produce(producer, self._names, record, receipts)
            except KafkaException as exc:
                receipts.refuse(exc.args[0], len(records) - number)
                return

    def _take_answers(self, producer: Producer) -> None:
        while self._producer is producer or len(producer):  # others may wait for answers of one that was given up
            with suppress(SystemError, KafkaException):  # a fatal one: each record's own answer tells it
                producer.poll(POLL_S)

    def _renew(self, producer: Producer, receipts: Receipts) -> None:
        """Have another producer made if `producer` will not take anything any more."""
        with self._lock:
            if self._producer is producer and any(error.fatal() for error in receipts.errors):
                self._producer = None


def _failure(receipts: Receipts) -> RefoldError:
    error = next(iter(receipts.errors), None)
    if error is not None and not receipts.delivered and not any(map(is_uncertain, receipts.errors)):
        return fault_of(error, "append", subject="records")
    answered = f"{receipts.delivered} of {receipts.expected} records were received"
    return UnknownOutcome(f"{answered}: {error.str() if error else 'Kafka did not answer'}", op="append")
