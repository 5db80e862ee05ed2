"""What only the log in Kafka has: transactions that hang or fence, commit markers, foreign producers, lost answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from schemas.errors import PoisonError, UsageError
from schemas.ids import document_id_of
from schemas.positions import Position, TopicPartition
from streams.log import (
    TOPIC_NAMES,
    Batch,
    Draft,
    EventLog,
    Fenced,
    LogDamaged,
    LogReplaced,
    PositionExpired,
    SlotNumber,
    UnknownOutcome,
)
from streams.logs.kafka.clients import make_producer
from streams.logs.kafka.read import ReadStalled
from streams.placement import partition_of
from tests.contract.test_log import NOON, acted, all_partitions, everything, names, queued, requested
from tests.servers.kafka_corpora import SLOTS, KafkaCorpora, kafka_corpora

OWN = TopicPartition("documents", 0)


@pytest.fixture
def corpora() -> Iterator[KafkaCorpora]:
    with kafka_corpora() as made:
        yield made


def queued_in(slot: int, count: int) -> list[Draft]:
    """Drafts of topic `documents` that belong to `slot`: 0.md, 1.md, …"""
    drafts = (queued(f"{number}.md") for number in range(1_000))
    return [draft for draft in drafts if partition_of(draft.key, SLOTS) == slot][:count]


def uris(drafts: list[Draft]) -> list[str]:
    return [draft.event.uri for draft in drafts if hasattr(draft.event, "uri")]


def batches_until_it_fails(log: EventLog, error: type[Exception]) -> tuple[list[Batch], Any]:
    """What a read of everything yields before it raises `error`, and that error."""
    batches: list[Batch] = []
    with pytest.raises(error) as caught:
        batches.extend(log.read(all_partitions(log), Position()))
    return batches, caught.value


class ForeignProducer:
    """A producer that is none of ours, with a transaction or without."""

    def __init__(self, corpora: KafkaCorpora, topic: str, *, transactional_id: str | None = None) -> None:
        self.producer = make_producer(corpora.client, transactional_id=transactional_id)
        self._topic = corpora.names("log").topic(topic)
        if transactional_id is not None:
            self.producer.init_transactions(30)
            self.producer.begin_transaction()

    def send(self, value: bytes | None, *, key: bytes | None = None, partition: int | None = 0) -> None:
        where = {} if partition is None else {"partition": partition}
        self.producer.produce(self._topic, value=value, key=key, **where)
        assert self.producer.flush(30) == 0


# Fencing


def test_a_zombie_is_fenced_for_good_and_what_it_sent_is_not_there(corpora: KafkaCorpora) -> None:
    zombie, successor = corpora.open(), corpora.open()
    first, second, third = queued_in(0, 3)
    zombie.own(SlotNumber(0))
    zombie.append(SlotNumber(0), [first])
    successor.own(SlotNumber(0))
    for _ in range(2):
        with pytest.raises(Fenced):
            zombie.append(SlotNumber(0), [second])
    successor.append(SlotNumber(0), [third])
    zombie.append(None, [requested("d.md")])
    assert sorted(names(everything(successor))) == sorted([*uris([first, third]), "d.md"])


@pytest.mark.timeout(60)
def test_a_fence_that_meets_many_records_at_once_is_told_like_any_other(corpora: KafkaCorpora) -> None:
    log, rival = corpora.open(), corpora.open()
    for _ in range(3):
        log.own(SlotNumber(0))
        rival.own(SlotNumber(0))
        with pytest.raises(Fenced):
            log.append(SlotNumber(0), queued_in(0, 200))


def test_a_fenced_process_can_take_the_slot_back(corpora: KafkaCorpora) -> None:
    log, rival = corpora.open(), corpora.open()
    log.own(SlotNumber(0))
    rival.own(SlotNumber(0))
    with pytest.raises(Fenced):
        log.append(SlotNumber(0), queued_in(0, 1))
    log.own(SlotNumber(0))
    log.append(SlotNumber(0), queued_in(0, 1))
    with pytest.raises(Fenced):
        rival.append(SlotNumber(0), queued_in(0, 1))


def test_owning_one_slot_leaves_the_others_alone(corpora: KafkaCorpora) -> None:
    log, other = corpora.open(), corpora.open()
    log.own(SlotNumber(0))
    other.own(SlotNumber(1))
    log.append(SlotNumber(0), queued_in(0, 2))
    other.append(SlotNumber(1), queued_in(1, 2))
    log.append(SlotNumber(0), [acted("x")])
    assert len(everything(log)) == 5


def test_a_new_owner_aborts_what_the_old_one_left_open(corpora: KafkaCorpora) -> None:
    log = corpora.open(stall_timeout_s=10.0)
    dead = ForeignProducer(corpora, "documents", transactional_id=corpora.names("log").transactional_id(SlotNumber(0)))
    dead.send(b"half an append")
    log.own(SlotNumber(0))
    log.append(SlotNumber(0), queued_in(0, 1))
    assert names(everything(log)) == uris(queued_in(0, 1))


# Markers and hanging transactions


def test_reading_passes_commit_markers_and_aborted_records(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    assert log.append(SlotNumber(0), queued_in(0, 2)) == Position({OWN: 2})
    aborted = ForeignProducer(corpora, "documents", transactional_id="foreign")
    aborted.send(b"never committed")
    aborted.producer.abort_transaction(30)
    assert log.append(SlotNumber(0), queued_in(0, 1)) == Position(
        {OWN: 6}
    )  # markers at 2 and 4, the aborted record at 3
    assert log.wait_beyond([OWN], Position({OWN: 6}), timeout_s=30)  # the marker comes after the answer to the commit
    (*_, last) = batches = list(log.read([OWN], Position()))
    assert [record.offset for batch in batches for record in batch.recorded] == [0, 1, 5]
    assert last.next_position == log.end([OWN]) == Position({OWN: 7})
    assert list(log.read([OWN], last.next_position)) == []
    (*_, after_it) = log.read([OWN], Position({OWN: 6}))
    assert (after_it.recorded, after_it.next_position) == ([], Position({OWN: 7}))


def test_a_hanging_transaction_of_somebody_else_fails_a_replay_instead_of_shortening_it(corpora: KafkaCorpora) -> None:
    log = corpora.open(stall_timeout_s=1.0)
    before, *after = queued_in(0, 3)
    log.append(None, [before])
    hanging = ForeignProducer(corpora, "documents", transactional_id="hanging")
    hanging.send(b"for ever pending")
    log.append(None, after)
    batches, stalled = batches_until_it_fails(log, ReadStalled)
    assert names([record for batch in batches for record in batch.recorded]) == uris([before])
    topic = corpora.names("log").topic("documents")
    assert f"the records 1 to 3 of {topic} partition 0" in str(stalled)
    assert "a transaction is open there" in str(stalled)
    assert stalled.position == str(Position({OWN: 1}))
    assert log.end([OWN]) == Position({OWN: 4})
    hanging.producer.abort_transaction(30)
    assert names(everything(log)) == uris([before, *after])


# Answers that are lost


class LosesTheAnswer:
    """A producer whose commit happens, or not, while the answer to it is lost."""

    def __init__(self, producer: Any, *, is_committing: bool) -> None:
        self._producer = producer
        self._is_committing = is_committing
        self.sent = 0
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(self, *arguments: Any, **more: Any) -> None:
        self.sent += 1
        self._producer.produce(*arguments, **more)

    def commit_transaction(self, timeout: float) -> None:
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - an extra

        self.commits += 1
        if self._is_committing:
            self._producer.commit_transaction(timeout)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the answer is lost", retriable=True))


@pytest.mark.parametrize("is_committing", [True, False])
def test_an_append_of_unknown_outcome_is_never_sent_again(corpora: KafkaCorpora, *, is_committing: bool) -> None:
    made: list[Any] = []

    def first_one_is_faulty(transactional_id: str) -> Any:
        producer = make_producer(corpora.client, transactional_id=transactional_id)
        made.append(producer if made else LosesTheAnswer(producer, is_committing=is_committing))
        return made[-1]

    log = corpora.open(new_slot_producer=first_one_is_faulty)
    lost, later = queued_in(0, 2)
    log.own(SlotNumber(0))
    for draft in (lost, lost, later):  # whatever comes before the slot is owned again is refused
        with pytest.raises(UnknownOutcome):
            log.append(SlotNumber(0), [draft])
    assert (made[0].sent, made[0].commits) == (1, 1)
    log.own(SlotNumber(0))
    log.append(SlotNumber(0), [later])
    assert names(everything(log)) == uris([lost, later] if is_committing else [later])


def test_a_record_that_is_too_large_fails_its_append_and_nothing_else(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    for slot in (None, SlotNumber(0)):
        with pytest.raises(PoisonError, match="larger than a record may be"):
            log.append(slot, [acted("small"), acted("x" * 2_000_000)])
        log.append(slot, [acted("next")])
    assert [record.event.action for record in everything(log) if hasattr(record.event, "action")] == ["next", "next"]


# Retention and identity


def test_records_that_somebody_deleted_make_a_position_expired(corpora: KafkaCorpora) -> None:
    from confluent_kafka import TopicPartition as KafkaPartition  # noqa: PLC0415 - an extra

    log = corpora.open()
    log.append(None, queued_in(0, 5))
    below = KafkaPartition(corpora.names("log").topic("documents"), 0, 3)
    for answer in corpora.admin.delete_records([below]).values():
        answer.result()
    _, expired = batches_until_it_fails(log, PositionExpired)
    assert "the records 0 to 2 of documents:0 are no longer kept" in str(expired)
    assert expired.position == str(Position({OWN: 3}))
    assert names(everything(log, log.begin(all_partitions(log)))) == uris(queued_in(0, 5)[3:])


def test_the_log_id_is_kept_by_its_topics_and_another_when_these_are_made_anew(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    assert corpora.open().log_id == log.log_id
    log.close()
    corpora.delete("log", TOPIC_NAMES)
    corpora.create("log")
    assert corpora.open().log_id != log.log_id


def made_anew(corpora: KafkaCorpora, log: EventLog, topic: str) -> None:
    """Delete a topic of the open `log` and make it again, with one record more than it had."""
    had = log.end([TopicPartition(topic, 0)]).offset(TopicPartition(topic, 0))
    corpora.delete("log", (topic,))
    corpora.create("log")
    producer = ForeignProducer(corpora, topic)
    for _ in range(had + 1):
        producer.send(b"of the new topic")


@pytest.mark.parametrize("topic", ["requests", "documents"])
def test_a_topic_that_is_made_anew_is_noticed_by_who_has_it_open(corpora: KafkaCorpora, topic: str) -> None:
    log = corpora.open(check_every_s=0.0)
    log.append(None, [requested("a.md"), requested("b.md")])
    made_anew(corpora, log, topic)
    with pytest.raises(LogReplaced, match=f"{topic} was deleted and made anew"):
        list(log.read([TopicPartition("requests", 0)], Position()))
    with pytest.raises(LogReplaced):
        log.own(SlotNumber(0))


def test_nothing_is_trimmed_of_a_topic_that_was_made_anew(corpora: KafkaCorpora) -> None:
    log = corpora.open(check_every_s=3_600.0)
    log.append(None, [requested("a.md"), requested("b.md")])
    taken = log.end(log.partitions("requests"))
    made_anew(corpora, log, "requests")
    with pytest.raises(LogReplaced):
        log.trim(taken)
    heir = corpora.open()
    assert heir.begin(heir.partitions("requests")) == Position()


def test_a_corpus_without_topics_is_refused_with_the_command_that_makes_them(corpora: KafkaCorpora) -> None:
    corpora.names("log")
    corpora.delete("log", ("jobs",))
    with pytest.raises(UsageError, match="there is no such topic") as caught:
        corpora.open()
    assert caught.value.hint == "refold topics apply"
    corpora.create("log")


# Foreign producers, and the wire


def test_a_foreign_request_that_is_no_event_is_told_and_passed(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    foreign = ForeignProducer(corpora, "requests")
    for value, key in ((b"hello", b"\xff"), (None, None)):
        foreign.send(value, key=key)
    log.append(None, [requested(f"{number}.md") for number in range(20)])
    batches = list(log.read(all_partitions(log), Position()))
    undecodable = [record for batch in batches for record in batch.undecodable]
    assert [(record.offset, record.key) for record in undecodable] == [(0, b"\xff"), (1, b"")]
    assert len([record for batch in batches for record in batch.recorded]) == 20
    assert batches[-1].next_position == log.end(all_partitions(log))


def test_a_schema_id_that_nobody_has_registered_stops_neither_readers_nor_writers(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    foreign = ForeignProducer(corpora, "requests")
    foreign.send(b"\x00\x7f\xff\xff\xffsoup", key=b"k")
    log.append(None, [requested(f"{number}.md") for number in range(20)])  # after the time of what stands last
    found = [record for batch in log.read(log.partitions("requests"), Position()) for record in batch.undecodable]
    assert [record.key for record in found] == [b"k"]
    assert f"the registry has no schema id 2147483647 of a subject {corpora.names('log').topic('requests')}-" in (
        found[0].error
    )


def test_elsewhere_it_is_damage_and_what_stands_before_it_is_read(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    log.append(None, queued_in(0, 2))
    ForeignProducer(corpora, "documents").send(b"hello")
    log.append(None, queued_in(0, 1))
    batches, damage = batches_until_it_fails(log, LogDamaged)
    assert names([record for batch in batches for record in batch.recorded]) == uris(queued_in(0, 2))
    assert damage.position == str(Position({OWN: 2}))
    assert batches[-1].next_position == Position({OWN: 2})


def test_a_foreign_producer_with_murmur2_finds_the_partitions_that_we_find(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    foreign = ForeignProducer(corpora, "requests")
    keys = {document_id_of(f"{number}.md") for number in range(20)}
    for key in keys:
        foreign.send(b"no event", key=key.encode(), partition=None)
    found = [record for batch in log.read(log.partitions("requests"), Position()) for record in batch.undecodable]
    assert {record.key.decode(): record.partition for record in found} == {
        key: partition_of(key, SLOTS) for key in keys
    }


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("slot", [None, SlotNumber(0)])
@pytest.mark.parametrize("trace", [None, TRACE])
def test_records_carry_their_kind_and_the_trace_if_there_is_one(
    corpora: KafkaCorpora, slot: SlotNumber | None, trace: str | None
) -> None:
    seen: list[Any] = []

    class Watched:
        def __init__(self, producer: Any) -> None:
            self._producer = producer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._producer, name)

        def __len__(self) -> int:
            return len(self._producer)

        def produce(self, *arguments: Any, **more: Any) -> None:
            seen.append(more["headers"])
            self._producer.produce(*arguments, **more)

    log = corpora.open(
        traceparent=lambda: trace,
        new_slot_producer=lambda name: Watched(make_producer(corpora.client, transactional_id=name)),
    )
    make: Callable[[], Any] = log._appends._make_producer
    log._appends._make_producer = lambda: Watched(make())  # type: ignore[assignment, return-value]
    log.append(slot, [acted("x")])
    assert seen == [{"kind": b"OperatorActed", **({"traceparent": TRACE.encode()} if trace else {})}]


def test_times_of_a_slot_go_on_from_those_of_its_last_owner(corpora: KafkaCorpora) -> None:
    first, second = corpora.open(), corpora.open()
    name = uris(queued_in(0, 1))[0]
    first.append(SlotNumber(0), [queued(name, NOON)])
    second.own(SlotNumber(0))
    second.append(SlotNumber(0), [queued(name, NOON + timedelta(hours=2))])
    first.own(SlotNumber(0))
    first.append(SlotNumber(0), [queued(name, NOON + timedelta(hours=1))])
    times = [record.event.meta.occurred_at - NOON for record in everything(first)]
    assert times == [timedelta(0), timedelta(hours=2), timedelta(hours=2)]


def test_times_of_requests_go_on_from_the_last_event_whatever_garbage_follows_it(corpora: KafkaCorpora) -> None:
    corpora.open().append(None, [requested("a.md", NOON + timedelta(hours=2))])
    partition = partition_of(document_id_of("a.md"), SLOTS)
    for number in range(5):
        ForeignProducer(corpora, "requests").send(b"hello %d" % number, partition=partition)
    log = corpora.open()
    log.append(None, [requested("a.md", NOON)])
    assert [record.event.meta.occurred_at for record in everything(log)] == [NOON + timedelta(hours=2)] * 2


def test_a_read_that_is_given_up_disturbs_no_later_one(corpora: KafkaCorpora) -> None:
    log = corpora.open()
    for _ in range(4):
        log.append(None, queued_in(0, 1_000)[:400])
    for _ in range(3):
        batches = log.read([OWN], Position())
        next(batches)
        with suppress(AttributeError):
            batches.close()  # type: ignore[attr-defined]
    assert [record.offset for record in everything(log)] == list(range(log.end([OWN]).offset(OWN)))


class DiesOnce:
    """A producer that takes one record, refuses the next with an error it does not survive, and everything after it."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def __len__(self) -> int:
        return len(self._producer)

    def produce(self, *arguments: Any, **more: Any) -> None:
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - an extra

        if self._taken:
            raise KafkaException(KafkaError(KafkaError._FATAL, "the producer is dead", fatal=True))
        self._taken += 1
        self._producer.produce(*arguments, **more)


def test_a_producer_that_dies_within_an_append_leaves_its_outcome_unknown_and_the_next_append_has_another(
    corpora: KafkaCorpora,
) -> None:
    log = corpora.open()
    make: Callable[[], Any] = log._appends._make_producer
    made: list[Any] = []

    def first_one_dies() -> Any:
        made.append(make() if made else DiesOnce(make()))
        return made[-1]

    log._appends._make_producer = first_one_dies
    with pytest.raises(UnknownOutcome, match="1 of 2 records were received"):
        log.append(None, [acted("received"), acted("refused")])
    log.append(None, [acted("next")])
    actions = [record.event.action for record in everything(log) if hasattr(record.event, "action")]
    assert (actions, len(made)) == (["received", "next"], 2)
