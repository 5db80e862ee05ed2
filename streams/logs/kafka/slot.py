"""A slot's appends: transactions that fence the slot's previous owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from threading import Lock

from schemas.errors import RefoldError, TransientError
from schemas.extras import extra
from schemas.positions import Position
from streams.log import Fenced, SlotNumber, UnknownOutcome
from streams.logs.kafka.clients import TRANSACTION_TIMEOUT_MS
from streams.logs.kafka.faults import fault_of, is_fenced, mapped_kafka_errors
from streams.logs.kafka.names import KafkaNames
from streams.logs.kafka.records import Framed, Receipts

with extra("kafka"):
    from confluent_kafka import KafkaError, KafkaException, Producer

INIT_TIMEOUT_S = 30.0
"""How long taking a slot may last: the coordinator first ends the old owner's transaction."""

FLUSH_TIMEOUT_S = TRANSACTION_TIMEOUT_MS / 1_000 + 5.0
"""Longer than a record is tried, so that each has its answer."""

COMMIT_TIMEOUT_S = 30.0
"""How long a commit is waited for before its outcome is called unknown: a broker's failover takes less."""

ABORT_TIMEOUT_S = 10.0
"""An abort that takes longer is left to the coordinator, which does it after the transaction's timeout."""


class _State(Enum):
    OWNED = "owned"
    FENCED = "fenced"
    UNKNOWN = "of unknown outcome"
    BROKEN = "to be taken again"


class KafkaSlot:
    """`slot`, owned from here on: made by `own`, closed by the next one. Thread-safe.

    One append is one transaction:

    (1) begin, (2) produce every record, (3) wait until each was received, (4) commit, once.

    What fails in (1) to (3) is aborted: nothing was appended. What fails in (4) is fenced, if Kafka says so, and else
    of unknown outcome: it is never sent again, and the slot takes no appends until it is owned again. Then
    `init_transactions` makes the coordinator finish or abort what was left, before it answers.

    Raises:
        TransientError: Kafka did not answer.
    """

    def __init__(self, slot: SlotNumber, names: KafkaNames, make_producer: Callable[[str], Producer]) -> None:
        self._slot = slot
        self._names = names
        self._subject = f"slot {slot}"
        self._lock = Lock()
        self._state = _State.OWNED
        self._producer = make_producer(names.transactional_id(slot))
        try:
            with mapped_kafka_errors("own", self._subject):
                self._producer.init_transactions(INIT_TIMEOUT_S)
        except BaseException:
            discard(self._producer)
            raise

    def append(self, records: Sequence[Framed]) -> Position:
        """Append all of `records` or none; see the port."""
        with self._lock:
            self._check_owned()
            receipts = Receipts(len(records))
            try:
                self._send(records, receipts)
            except BaseException as exc:
                self._abort(exc)
                raise
            self._commit()
            return receipts.position()

    def close(self) -> None:
        """Let go of the producer; what it has not sent is dropped."""
        with self._lock:
            if self._state is _State.OWNED:
                self._state = _State.BROKEN
            discard(self._producer)

    def _check_owned(self) -> None:
        if self._state is _State.FENCED:
            raise Fenced(op="append", subject=self._subject)
        if self._state is _State.UNKNOWN:
            hint = "own the slot again, and fold the log again before anything is appended"
            raise UnknownOutcome(op="append", subject=self._subject, hint=hint)
        if self._state is _State.BROKEN:
            raise TransientError(f"{self._subject} has to be taken again", op="append", subject=self._subject)

    def _send(self, records: Sequence[Framed], receipts: Receipts) -> None:
        """Steps (1) to (3)."""
        with mapped_kafka_errors("append", self._subject):
            self._producer.begin_transaction()
            for record in records:
                produce(self._producer, self._names, record, receipts)
            with suppress(SystemError):  # so the client fails whose fatal error a callback took up: the answers tell
                self._producer.flush(FLUSH_TIMEOUT_S)
        if receipts.errors:
            raise fault_of(receipts.errors[0], "append", subject=self._subject)
        if receipts.delivered < receipts.expected:
            raise TransientError("Kafka did not answer; nothing was appended", op="append", subject=self._subject)

    def _abort(self, why: BaseException) -> None:
        """Give up a transaction that was never committed; a slot that cannot even do that has to be taken again."""
        if isinstance(why, Fenced):
            self._state = _State.FENCED
            return
        self._state = _State.BROKEN
        try:
            self._producer.abort_transaction(ABORT_TIMEOUT_S)
        except KafkaException as exc:
            if is_fenced(exc.args[0]):
                self._state = _State.FENCED
                raise Fenced(op="append", subject=self._subject) from exc
        else:
            self._state = _State.OWNED

    def _commit(self) -> None:
        """Step (4)."""
        self._state = _State.UNKNOWN  # until the answer is there: Ctrl-C may come on either side of it
        try:
            self._producer.commit_transaction(COMMIT_TIMEOUT_S)
        except KafkaException as exc:
            raise self._outcome(exc.args[0]) from exc
        self._state = _State.OWNED

    def _outcome(self, error: KafkaError) -> RefoldError:
        if is_fenced(error):
            self._state = _State.FENCED
            return Fenced(op="append", subject=self._subject)
        return UnknownOutcome(
            f"whether the append of {self._subject} happened cannot be known: {error.str()}",
            op="append",
            subject=self._subject,
            hint="own the slot again, and fold the log again before anything is appended",
        )


def produce(producer: Producer, names: KafkaNames, record: Framed, receipts: Receipts) -> None:
    """Hand `record` to `producer`, waiting while its queue is full."""
    while True:
        try:
            producer.produce(
                names.topic(record.place.topic),
                value=record.value,
                key=record.key,
                partition=record.place.partition,
                on_delivery=receipts.receiver(record.place),
                headers=dict(record.headers),
            )
        except BufferError:
            producer.poll(0.1)
        else:
            return


def discard(producer: Producer) -> None:
    """Have `producer` send nothing more; it closes as its last user lets go of it.

    Its own `close` would try to abort, which one that is fenced cannot.
    """
    producer.purge()
