"""What every event log keeps to, whatever it is made of."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.events import (
    Action,
    DocumentQueued,
    DocumentRequested,
    Finding,
    JobSubmitted,
    Meta,
    OperatorActed,
)
from schemas.ids import EventId, JobId, document_id_of, event_id_of
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Draft, EventLog, Fenced, PositionExpired, Recorded, SlotNumber
from streams.logs.memory import MemoryLog
from streams.logs.sqlite.log import SqliteLog
from streams.placement import partition_of
from tests.servers.kafka_corpora import kafka_corpora

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
REQUESTS = "requests"
DOCUMENTS = "documents"

OpenLog = Callable[[str], EventLog]


@pytest.fixture(params=["memory", "memory with 4 partitions", "sqlite", "kafka"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenLog]:
    """Opens a new log of the backend under test, by name."""
    opened: list[EventLog] = []
    servers = ExitStack()
    corpora = servers.enter_context(kafka_corpora()) if request.param == "kafka" else None

    def open_(name: str) -> EventLog:
        backends: dict[str, Callable[[], EventLog]] = {
            "memory": MemoryLog,
            "memory with 4 partitions": lambda: MemoryLog(4),
            "sqlite": lambda: SqliteLog(tmp_path / f"{name}.sqlite"),
            "kafka": lambda: corpora.open(name) if corpora else pytest.fail("no Kafka"),
        }
        opened.append(backends[request.param]())
        return opened[-1]

    yield open_
    for log in opened:
        log.close()
    servers.close()


@pytest.fixture
def log(open_log: OpenLog) -> EventLog:
    return open_log("log")


def meta(name: str, at: datetime = NOON) -> Meta:
    return Meta(event_id=event_id_of(name, "test"), occurred_at=at, pipeline_id="run-1", job_id=JobId("job-1"))


def requested(name: str, at: datetime = NOON) -> Draft:
    document_id = document_id_of(name)
    finding = Finding(uri=name, size_bytes=12, modified_at_ns=1, validators={"inode": "7"})
    event = DocumentRequested(
        meta=meta(name, at), document_id=document_id, uri=name, metadata={"a": "b"}, finding=finding, content=b"\0\xff"
    )
    return Draft(REQUESTS, document_id, event)


def queued(name: str, at: datetime = NOON) -> Draft:
    document_id = document_id_of(name)
    event = DocumentQueued(
        meta=meta(name, at),
        document_id=document_id,
        request_id=EventId(event_id_of(name, "asked")),
        uri=name,
        action=Action.REMOVE,
    )
    return Draft(DOCUMENTS, document_id, event)


def acted(name: str, at: datetime = NOON) -> Draft:
    return Draft("operations", "operator", OperatorActed(meta=meta(name, at), actor="pat", action=name))


def all_partitions(log: EventLog) -> list[TopicPartition]:
    return [tp for topic in TOPIC_NAMES for tp in log.partitions(topic)]


def everything(log: EventLog, after: Position | None = None, until: Position | None = None) -> list[Recorded]:
    batches = log.read(all_partitions(log), after or Position(), until)
    return [recorded for batch in batches for recorded in batch.recorded]


def by_partition(recorded: list[Recorded]) -> dict[TopicPartition, list[Recorded]]:
    runs: dict[TopicPartition, list[Recorded]] = defaultdict(list)
    for record in recorded:
        runs[TopicPartition(record.topic, record.partition)].append(record)
    return runs


def names(recorded: list[Recorded]) -> list[str]:
    return [record.event.uri for record in recorded if isinstance(record.event, DocumentRequested | DocumentQueued)]


# Appending


def test_an_empty_log_yields_nothing_and_ends_at_the_empty_position(log: EventLog) -> None:
    assert everything(log) == []
    assert log.end(all_partitions(log)) == Position()
    assert log.begin(all_partitions(log)) == Position()


def test_what_is_appended_reads_back_equal(log: EventLog) -> None:
    submitted = Draft("jobs", "job-1", JobSubmitted(meta=meta("job"), sources=("docs/",), parameters={"limit": "3"}))
    drafts = [requested("a.md"), queued("a.md"), submitted, acted("promote")]
    log.append(None, drafts)
    read = {(record.topic, record.key): record.event for record in everything(log)}
    assert read == {(draft.topic, draft.key): draft.event for draft in drafts}


def test_offsets_of_every_partition_count_from_0_without_holes_in_the_order_of_appending(log: EventLog) -> None:
    for start in range(0, 60, 20):
        log.append(None, [requested(f"{number}.md") for number in range(start, start + 20)])
        log.append(None, [acted(f"{start}")])
    for run in by_partition(everything(log)).values():
        assert [record.offset for record in run] == list(range(len(run)))
        assert names(run) == sorted(names(run), key=lambda name: int(name.removesuffix(".md")))


def test_append_answers_with_the_position_after_its_own_records_only(log: EventLog) -> None:
    log.append(None, [acted("before")])
    position = log.append(None, [requested("a.md"), requested("a.md")])
    partition = partition_of(document_id_of("a.md"), len(log.partitions(REQUESTS)))
    assert position == Position({TopicPartition(REQUESTS, partition): 2})
    assert log.end(all_partitions(log)).reaches(position)


def test_a_key_chooses_its_partition_by_murmur2_in_requests_and_documents_and_others_have_one(log: EventLog) -> None:
    log.append(None, [draft for number in range(40) for draft in (requested(f"{number}"), queued(f"{number}"))])
    count = len(log.partitions(DOCUMENTS))
    assert len(log.partitions(REQUESTS)) == count
    assert {len(log.partitions(topic)) for topic in ("jobs", "adapters", "operations")} == {1}
    assert all(record.partition == partition_of(record.key, count) for record in everything(log))
    assert {record.partition for record in everything(log)} == set(range(count))


def test_an_empty_append_appends_nothing(log: EventLog) -> None:
    assert log.append(SlotNumber(0), []) == Position()
    assert log.end(all_partitions(log)) == Position()


def test_a_kind_in_the_wrong_topic_is_refused_and_with_it_the_whole_append(log: EventLog) -> None:
    misplaced = Draft(DOCUMENTS, "k", requested("b.md").event)
    with pytest.raises(ValueError, match="topic 'documents' does not carry DocumentRequested"):
        log.append(None, [requested("a.md"), misplaced])
    assert everything(log) == []


def test_a_topic_that_does_not_exist_is_refused(log: EventLog) -> None:
    with pytest.raises(ValueError, match="does not carry"):
        log.append(None, [Draft("gossip", "k", requested("b.md").event)])
    with pytest.raises(ValueError, match="'gossip' is no topic"):
        log.partitions("gossip")


def test_a_slot_appends_only_documents_of_its_own_partition(log: EventLog) -> None:
    count = len(log.partitions(DOCUMENTS))
    drafts = [queued(f"{number}.md") for number in range(40)]
    own = [draft for draft in drafts if partition_of(draft.key, count) == 0]
    log.append(SlotNumber(0), [*own, requested("elsewhere.md")])
    assert len(everything(log)) == len(own) + 1
    foreign = [draft for draft in drafts if draft not in own]
    for draft in foreign:
        with pytest.raises(ValueError, match="not to slot 0"):
            log.append(SlotNumber(0), [draft])
    assert len(everything(log)) == len(own) + 1


def test_a_slot_that_does_not_exist_is_refused(log: EventLog) -> None:
    beyond = SlotNumber(len(log.partitions(DOCUMENTS)))
    with pytest.raises(ValueError, match="there is no slot"):
        log.append(beyond, [acted("x")])
    with pytest.raises(ValueError, match="there is no slot"):
        log.own(beyond)


def test_owning_a_slot_again_is_harmless(log: EventLog) -> None:
    log.own(SlotNumber(0))
    log.append(SlotNumber(0), [acted("first")])
    log.own(SlotNumber(0))
    log.append(SlotNumber(0), [acted("second")])
    assert len(everything(log)) == 2


def test_occurred_at_never_goes_back_within_a_partition(log: EventLog) -> None:
    later, earlier = NOON + timedelta(seconds=5), NOON - timedelta(days=1)
    log.append(None, [queued("a", later), queued("a", earlier), acted("x", earlier)])
    log.append(None, [queued("a", earlier), queued("a", later + timedelta(microseconds=1))])
    times = {tp: [record.event.meta.occurred_at for record in run] for tp, run in by_partition(everything(log)).items()}
    operations = times.pop(TopicPartition("operations", 0))
    assert operations == [earlier]
    assert list(times.values()) == [[later, later, later, later + timedelta(microseconds=1)]]


def test_eight_threads_append_every_event_once_and_each_thread_s_in_order(log: EventLog) -> None:
    def append_all(thread: int) -> None:
        for number in range(0, 60, 3):
            position = log.append(None, [requested(f"{thread}/{n}") for n in range(number, number + 3)])
            assert log.end(all_partitions(log)).reaches(position)

    threads = [threading.Thread(target=append_all, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = everything(log)
    assert sorted(names(read)) == sorted(f"{thread}/{number}" for thread in range(8) for number in range(60))
    for run in by_partition(read).values():
        assert [record.offset for record in run] == list(range(len(run)))
        for thread in range(8):
            mine = [int(name.partition("/")[2]) for name in names(run) if name.startswith(f"{thread}/")]
            assert mine == sorted(mine)


def test_records_of_one_append_stand_together_in_their_partition_however_many_threads_append(log: EventLog) -> None:
    def append_all(thread: int) -> None:
        for number in range(25):
            log.append(None, [acted(f"{thread}/{number}/{n}") for n in range(4)])

    threads = [threading.Thread(target=append_all, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    actions = [record.event.action for record in everything(log) if isinstance(record.event, OperatorActed)]
    assert len(actions) == 400
    for start in range(0, 400, 4):
        appended = actions[start].rpartition("/")[0]
        assert actions[start : start + 4] == [f"{appended}/{n}" for n in range(4)]


# Reading


def test_after_is_inclusive_and_until_is_exclusive(log: EventLog) -> None:
    operations = log.partitions("operations")
    log.append(None, [acted(f"{number}") for number in range(10)])
    (tp,) = operations
    batches = list(log.read(operations, Position({tp: 3}), Position({tp: 7})))
    assert [record.offset for batch in batches for record in batch.recorded] == [3, 4, 5, 6]
    assert batches[-1].next_position == Position({tp: 7})


def test_a_partition_that_until_does_not_name_is_not_read(log: EventLog) -> None:
    log.append(None, [acted("x"), requested("a.md")])
    until = log.end(log.partitions("operations"))
    assert {record.topic for record in everything(log, until=until)} == {"operations"}


def test_until_beyond_the_end_reads_to_the_end(log: EventLog) -> None:
    log.append(None, [acted("x")])
    (tp,) = log.partitions("operations")
    (batch,) = log.read([tp], Position(), Position({tp: 100}))
    assert batch.next_position == Position({tp: 1})


def test_only_the_asked_partitions_are_read_and_the_rest_of_after_is_kept(log: EventLog) -> None:
    log.append(None, [acted("x"), requested("a.md"), queued("a.md")])
    elsewhere = Position({TopicPartition("jobs", 0): 5})
    batches = list(log.read(log.partitions(DOCUMENTS), elsewhere))
    assert {record.topic for batch in batches for record in batch.recorded} == {DOCUMENTS}
    assert batches[-1].next_position == elsewhere.joined(log.end(log.partitions(DOCUMENTS)))


def test_batches_are_bounded_and_reading_can_go_on_after_any_of_them(log: EventLog) -> None:
    for start in range(0, 2_400, 400):
        drafts = [requested(f"{number}") for number in range(start, start + 400)]
        log.append(None, [*drafts, *(queued(f"{number}") for number in range(start, start + 100))])
    whole = everything(log)
    assert len(whole) == 3_000
    batches = list(log.read(all_partitions(log), Position()))
    assert len(batches) >= 3
    assert batches[-1].next_position == log.end(all_partitions(log))
    for index, batch in enumerate(batches):
        assert len(batch.recorded) <= 1_000
        behind = [record for earlier in batches[: index + 1] for record in earlier.recorded]
        ahead = everything(log, batch.next_position)
        assert len(behind) + len(ahead) == len(whole)
        assert {(r.topic, r.partition, r.offset) for r in [*behind, *ahead]} == {
            (r.topic, r.partition, r.offset) for r in whole
        }


def test_a_partition_that_does_not_exist_is_refused(log: EventLog) -> None:
    absent = TopicPartition(DOCUMENTS, len(log.partitions(DOCUMENTS)))
    calls: list[Callable[[], object]] = [
        lambda: list(log.read([absent], Position())),
        lambda: log.begin([absent]),
        lambda: log.end([absent]),
        lambda: log.wait_beyond([absent], Position(), timeout_s=0),
        lambda: log.trim(Position({TopicPartition(REQUESTS, absent.partition): 1})),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="this log has no partition"):
            call()


def test_reading_without_until_ends_where_the_end_was_when_it_began(log: EventLog) -> None:
    log.append(None, [acted(f"{number}") for number in range(5)])
    batches = log.read(log.partitions("operations"), Position())
    log.append(None, [acted("too late")])
    assert sum(len(batch.recorded) for batch in batches) == 5


def test_reading_while_others_append_sees_every_record_once_and_in_order(log: EventLog) -> None:
    operations = log.partitions("operations")

    def append_all() -> None:
        for number in range(200):
            log.append(None, [acted(f"{number}")])

    appender = threading.Thread(target=append_all)
    appender.start()
    position, seen = Position(), []
    while len(seen) < 200:
        assert log.wait_beyond(operations, position, timeout_s=30)
        for batch in log.read(operations, position):
            seen += [record.event.action for record in batch.recorded if isinstance(record.event, OperatorActed)]
            position = batch.next_position
    appender.join()
    assert seen == [f"{number}" for number in range(200)]


# Waiting


def test_wait_beyond_answers_at_once_when_something_is_there(log: EventLog) -> None:
    log.append(None, [acted("x")])
    assert log.wait_beyond(all_partitions(log), Position(), timeout_s=0)


def test_wait_beyond_gives_up_after_its_time(log: EventLog) -> None:
    position = log.append(None, [acted("x")])
    assert not log.wait_beyond(log.partitions("operations"), position, timeout_s=0.01)


def test_wait_beyond_does_not_care_for_other_topics(log: EventLog) -> None:
    log.append(None, [requested("a.md")])
    assert not log.wait_beyond(log.partitions("operations"), Position(), timeout_s=0.01)


def test_wait_beyond_is_woken_by_an_append_of_another_thread(log: EventLog) -> None:
    position = log.append(None, [acted("x")])
    answers: list[bool] = []
    waiter = threading.Thread(
        target=lambda: answers.append(log.wait_beyond(log.partitions("operations"), position, timeout_s=60))
    )
    waiter.start()
    log.append(None, [acted("y")])
    waiter.join(timeout=30)
    assert answers == [True]


# Trimming


def test_after_a_trim_reading_begins_at_the_low_watermark_and_nothing_else_is_lost(log: EventLog) -> None:
    log.append(None, [requested("same.md") for _ in range(10)])
    log.append(None, [queued("same.md")])
    (end,) = log.end(log.partitions(REQUESTS))
    log.trim(Position({end: 4}))
    begin = log.begin(all_partitions(log))
    assert begin == Position({end: 4})
    read = by_partition(everything(log, begin))
    assert [record.offset for record in read[end]] == [4, 5, 6, 7, 8, 9]
    assert len(read) == 2


def test_reading_from_before_a_trim_raises_position_expired_and_says_where_the_log_begins(log: EventLog) -> None:
    log.append(None, [requested("same.md") for _ in range(10)])
    (tp,) = log.end(log.partitions(REQUESTS))
    log.trim(Position({tp: 4}))
    with pytest.raises(PositionExpired, match="records 3 to 3 of requests") as caught:
        list(log.read([tp], Position({tp: 3})))
    assert caught.value.position == str(Position({tp: 4}))
    assert list(log.read([tp], Position({tp: 3}), Position({tp: 3}))) == []


def test_offsets_and_times_go_on_after_everything_was_trimmed(log: EventLog) -> None:
    log.append(None, [requested("same.md", NOON) for _ in range(10)])
    end = log.end(log.partitions(REQUESTS))
    log.trim(Position(dict.fromkeys(end, 1_000)))
    assert log.begin(log.partitions(REQUESTS)) == log.end(log.partitions(REQUESTS)) == end
    log.append(None, [requested("same.md", NOON - timedelta(hours=1))])
    (record,) = everything(log, end)
    assert record.offset == 10
    assert record.event.meta.occurred_at == NOON


def test_trimming_below_an_earlier_trim_changes_nothing(log: EventLog) -> None:
    log.append(None, [requested("same.md") for _ in range(10)])
    (tp,) = log.end(log.partitions(REQUESTS))
    log.trim(Position({tp: 4}))
    log.trim(Position({tp: 2}))
    assert log.begin([tp]) == Position({tp: 4})


def test_only_requests_can_be_trimmed(log: EventLog) -> None:
    position = log.append(None, [queued("a.md"), requested("a.md")])
    with pytest.raises(ValueError, match="only topic requests"):
        log.trim(position)
    assert len(everything(log)) == 2


# Identity and closing


def test_every_log_has_an_id_of_its_own(open_log: OpenLog) -> None:
    assert open_log("one").log_id != open_log("other").log_id


def test_a_closed_log_refuses_everything_and_closing_again_is_harmless(log: EventLog) -> None:
    log.append(None, [acted("x")])
    operations = log.partitions("operations")
    log.close()
    log.close()
    calls: list[Callable[[], object]] = [
        lambda: log.append(None, [acted("y")]),
        lambda: list(log.read(operations, Position())),
        lambda: log.end(operations),
        lambda: log.begin(operations),
        lambda: log.trim(Position()),
        lambda: log.wait_beyond(operations, Position(), timeout_s=0),
        lambda: log.own(SlotNumber(0)),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="the log is closed"):
            call()


def test_closing_ends_a_wait(log: EventLog) -> None:
    operations = log.partitions("operations")
    answers: list[bool] = []
    is_waiting = threading.Event()

    def wait() -> None:
        is_waiting.set()
        with suppress(UsageError):  # the log may be closed before the wait begins
            answers.append(log.wait_beyond(operations, Position(), timeout_s=60))

    waiter = threading.Thread(target=wait)
    waiter.start()
    is_waiting.wait()
    log.close()
    waiter.join(timeout=30)
    assert not waiter.is_alive()
    assert answers in ([], [False])


def test_a_wake_ends_a_wait_and_the_log_goes_on(log: EventLog) -> None:
    operations = log.partitions("operations")
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(log.wait_beyond(operations, Position(), timeout_s=60)))
    waiter.start()
    while waiter.is_alive():  # the first wakes may come before the wait
        log.wake()
        waiter.join(timeout=0.01)
    assert answers == [False]
    log.append(None, [acted("x")])
    assert log.wait_beyond(operations, Position(), timeout_s=0)


# Fencing, where more than one process may want a slot


def test_a_new_owner_of_a_slot_fences_the_old_one() -> None:
    zombie = MemoryLog()
    zombie.own(SlotNumber(0))
    zombie.append(SlotNumber(0), [queued("a.md")])
    successor = zombie.peer()
    successor.own(SlotNumber(0))
    with pytest.raises(Fenced):
        zombie.append(SlotNumber(0), [queued("b.md")])
    successor.append(SlotNumber(0), [queued("c.md")])
    zombie.append(None, [requested("d.md")])
    assert sorted(names(everything(successor))) == ["a.md", "c.md", "d.md"]


def test_owning_one_slot_leaves_the_others_alone() -> None:
    log = MemoryLog(2)
    other = log.peer()
    log.own(SlotNumber(0))
    other.own(SlotNumber(1))
    log.append(SlotNumber(0), [acted("x")])
    other.append(SlotNumber(1), [acted("y")])
    with pytest.raises(Fenced):
        log.append(SlotNumber(1), [acted("z")])


def test_the_memory_log_mixes_topics_differently_for_different_seeds() -> None:
    def order(seed: int) -> list[str]:
        log = MemoryLog(shuffle_seed=seed)
        log.append(None, [draft for n in range(20) for draft in (requested(f"{n}"), queued(f"{n}"))])
        return [record.topic for record in everything(log)]

    assert order(1) == order(1)
    assert order(1) != order(2)
