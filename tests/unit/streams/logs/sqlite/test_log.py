"""What only the SQLite log has: a file, other processes, damage, full disks, shared commits."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from schemas.codec import Codec, UnknownKind, UnwritableEvent
from schemas.errors import DataFolderVersion, DiskFull, MachineError, RefoldError, UsageError
from schemas.events import DocumentQueued, DocumentRequested, Meta, OperatorActed
from schemas.ids import document_id_of, event_id_of
from schemas.positions import Position, TopicPartition
from schemas.registries.memory import MemoryRegistry
from schemas.sqlite_files import MEANINGS, mapped_sqlite_errors
from streams.log import Draft, LogDamaged, PositionExpired, Recorded, SlotNumber, Undecodable
from streams.logs.sqlite.layout import LOG_FILE, checksum_of
from streams.logs.sqlite.log import SqliteLog
from streams.sqlite_file import SqliteFile
from tests.samples.flipped_bits import tamper

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
OPERATIONS = TopicPartition("operations", 0)
REQUESTS = TopicPartition("requests", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(path)) as opened:
        yield opened


def acted(action: str, at: datetime = NOON) -> Draft:
    meta = Meta(event_id=event_id_of(action, "test"), occurred_at=at, pipeline_id="run-1")
    return Draft("operations", "operator", OperatorActed(meta=meta, actor="pat", action=action))


def requested(uri: str, content: bytes | None = None) -> Draft:
    meta = Meta(event_id=event_id_of(uri, "test"), occurred_at=NOON, pipeline_id="run-1")
    document_id = document_id_of(uri)
    return Draft(
        "requests", document_id, DocumentRequested(meta=meta, document_id=document_id, uri=uri, content=content)
    )


def queued(uri: str) -> Draft:
    meta = Meta(event_id=event_id_of(uri, "test"), occurred_at=NOON, pipeline_id="run-1", sequence=1)
    document_id = document_id_of(uri)
    event = DocumentQueued(meta=meta, document_id=document_id, request_id=event_id_of(uri, "asked"), uri=uri)
    return Draft("documents", document_id, event)


def records(log: SqliteLog, *partitions: TopicPartition, after: Position | None = None) -> list[Recorded]:
    batches = log.read(partitions or [OPERATIONS], after or Position())
    return [record for batch in batches for record in batch.recorded]


def actions(log: SqliteLog) -> list[str]:
    return [record.event.action for record in records(log) if isinstance(record.event, OperatorActed)]


# The file


def test_an_opened_log_goes_on_where_it_was_closed(path: Path) -> None:
    with closing(SqliteLog(path)) as first:
        first.append(None, [acted("one"), acted("two", NOON + timedelta(hours=1))])
    with closing(SqliteLog(path)) as second:
        position = second.append(None, [acted("three")])
        assert second.log_id == first.log_id
        assert actions(second) == ["one", "two", "three"]
        assert records(second)[2].event.meta.occurred_at == NOON + timedelta(hours=1)
    assert position == Position({OPERATIONS: 3})


def test_time_and_offsets_go_on_in_a_new_process_after_everything_was_trimmed(path: Path) -> None:
    with closing(SqliteLog(path)) as first:
        first.append(None, [requested("a"), requested("b")])
        first.trim(first.end([REQUESTS]))
    with closing(SqliteLog(path)) as second:
        meta = Meta(event_id=event_id_of("c", "x"), occurred_at=NOON - timedelta(days=1), pipeline_id="run-2")
        event = DocumentRequested(meta=meta, document_id=document_id_of("c"), uri="c")
        second.append(None, [Draft("requests", event.document_id, event)])
        (record,) = records(second, REQUESTS, after=second.begin([REQUESTS]))
    assert record.offset == 2
    assert record.event.meta.occurred_at == NOON


def test_an_empty_file_becomes_a_log(path: Path) -> None:
    path.touch()
    with closing(SqliteLog(path)) as log:
        log.append(None, [acted("first")])
        assert actions(log) == ["first"]


def test_nothing_is_there_to_read_only(path: Path) -> None:
    with pytest.raises(MachineError, match="there is no log") as caught:
        SqliteLog(path, read_only=True)
    assert caught.value.hint
    assert not path.exists()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, *, read_only: bool) -> None:
    path.write_bytes(b"Dear diary, " * 1_000)
    with pytest.raises(MachineError, match="is not a refold log") as caught:
        SqliteLog(path, read_only=read_only)
    assert caught.value.hint
    assert path.read_bytes() == b"Dear diary, " * 1_000


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_of_something_else_is_refused_and_left_alone(path: Path, *, read_only: bool) -> None:
    tamper(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(MachineError, match="is not a refold log"):
        SqliteLog(path, read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [True, False])
def test_a_log_of_a_newer_format_is_refused(path: Path, *, read_only: bool) -> None:
    SqliteLog(path).close()
    tamper(path, f"PRAGMA user_version = {LOG_FILE.format + 1}")
    with pytest.raises(DataFolderVersion, match=f"has format {LOG_FILE.format + 1}") as caught:
        SqliteLog(path, read_only=read_only)
    assert "install" in str(caught.value.hint)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be opened"):
        SqliteLog(tmp_path / "nowhere" / "log.sqlite")


def test_no_error_of_sqlite_is_without_a_meaning() -> None:
    codes = {
        name: code
        for name, code in vars(sqlite3).items()
        if name.startswith("SQLITE_") and isinstance(code, int) and name in _RESULT_CODES
    }
    assert len(codes) == len(_RESULT_CODES)
    meanings = {name: type(_raised(code)).__name__ for name, code in codes.items()}
    assert meanings == _RESULT_CODES
    assert {code for code in MEANINGS if code <= 0xFF} <= set(codes.values())


_RESULT_CODES = {
    "SQLITE_ABORT": "MachineError",
    "SQLITE_AUTH": "MachineError",
    "SQLITE_BUSY": "DataFolderLocked",
    "SQLITE_CANTOPEN": "MachineError",
    "SQLITE_CONSTRAINT": "LogDamaged",
    "SQLITE_CORRUPT": "LogDamaged",
    "SQLITE_EMPTY": "MachineError",
    "SQLITE_ERROR": "LogDamaged",
    "SQLITE_FORMAT": "LogDamaged",
    "SQLITE_FULL": "DiskFull",
    "SQLITE_INTERNAL": "MachineError",
    "SQLITE_INTERRUPT": "MachineError",
    "SQLITE_IOERR": "MachineError",
    "SQLITE_IOERR_FSYNC": "MachineError",
    "SQLITE_IOERR_SHMSIZE": "DiskFull",
    "SQLITE_LOCKED": "DataFolderLocked",
    "SQLITE_MISMATCH": "MachineError",
    "SQLITE_MISUSE": "MachineError",
    "SQLITE_NOLFS": "MachineError",
    "SQLITE_NOMEM": "MachineError",
    "SQLITE_NOTADB": "LogDamaged",
    "SQLITE_NOTFOUND": "MachineError",
    "SQLITE_PERM": "MachineError",
    "SQLITE_PROTOCOL": "DataFolderLocked",
    "SQLITE_RANGE": "MachineError",
    "SQLITE_READONLY": "MachineError",
    "SQLITE_SCHEMA": "LogDamaged",
    "SQLITE_TOOBIG": "MachineError",
}


def _raised(code: int) -> RefoldError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    with (
        pytest.raises(RefoldError) as caught,
        mapped_sqlite_errors("append", Path("log.sqlite"), damaged=LOG_FILE.damaged),
    ):
        raise error
    assert caught.value.hint
    assert caught.value.subject == "log.sqlite"
    return caught.value


# Readers beside the writer


def test_a_reader_sees_what_another_opening_of_the_log_appends(log: SqliteLog, path: Path) -> None:
    log.append(None, [acted("before")])
    with closing(SqliteLog(path, read_only=True)) as reader:
        assert reader.log_id == log.log_id
        assert actions(reader) == ["before"]
        position = reader.end([OPERATIONS])
        waited: list[bool] = []
        waiter = threading.Thread(target=lambda: waited.append(reader.wait_beyond([OPERATIONS], position, 60)))
        waiter.start()
        log.append(None, [acted("after")])
        waiter.join(30)
        assert waited == [True]
        assert actions(reader) == ["before", "after"]


def test_a_reader_cannot_write(log: SqliteLog, path: Path) -> None:
    log.append(None, [requested("a")])
    with closing(SqliteLog(path, read_only=True)) as reader:
        for write in (
            lambda: reader.append(None, [acted("x")]),
            lambda: reader.trim(Position({REQUESTS: 1})),
            lambda: reader.own(SlotNumber(0)),
        ):
            with pytest.raises(UsageError, match="opened to read only"):
                write()


def test_reading_leaves_the_file_as_it_is(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [acted("x")])
    before = path.read_bytes()
    with closing(SqliteLog(path, read_only=True)) as reader:
        assert actions(reader) == ["x"]
    assert path.read_bytes() == before


def open_as_nobody(path: Path, answers: Connection) -> None:
    """In a process that may not write: how many events it reads, and what opening to write raises."""
    if os.geteuid() == 0:  # root may write everywhere
        os.setuid(65_534)
    with closing(SqliteLog(path, read_only=True)) as log:
        answers.send(actions(log))
    try:
        SqliteLog(path)
    except MachineError as exc:
        answers.send(str(exc))
    answers.close()


def test_a_log_in_a_folder_that_one_may_not_write_is_read_and_nothing_else() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.sqlite")
        with closing(SqliteLog(path)) as log:
            log.append(None, [acted("x"), acted("y")])
        path.chmod(0o444)
        path.parent.chmod(0o555)
        here, there = Pipe()
        nobody = get_context("fork").Process(target=open_as_nobody, args=(path, there))
        nobody.start()
        nobody.join(30)
        assert here.poll()
        assert here.recv() == ["x", "y"]
        assert "cannot be opened or written" in here.recv()
        assert set(path.parent.iterdir()) == {path, path.with_suffix(".end")}
        path.parent.chmod(0o755)


def test_batches_of_large_requests_are_bounded_in_bytes(log: SqliteLog) -> None:
    for number in range(25):
        log.append(None, [requested(f"{number}.bin", content=bytes(900 * 1024))])
    batches = list(log.read([REQUESTS], Position()))
    assert sum(len(batch.recorded) for batch in batches) == 25
    assert max(len(batch.recorded) for batch in batches) == 10


def test_a_reader_that_is_overtaken_by_a_trim_is_told(log: SqliteLog) -> None:
    log.append(None, [requested(f"{number}") for number in range(2_500)])
    batches = log.read([REQUESTS], Position())
    assert len(next(batches).recorded) == 1_000
    log.trim(Position({REQUESTS: 1_500}))
    with pytest.raises(PositionExpired, match="the records 1000 to 1499") as caught:
        next(batches)
    assert caught.value.position == "requests:0=1500"


def test_a_long_trim_goes_in_steps_and_keeps_what_it_should(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.logs.sqlite.log.TRIM_RECORDS", 10)
    log.append(None, [requested(f"{number}") for number in range(50)])
    commits = commits_of(log)
    log.trim(Position({REQUESTS: 35}))
    assert len(commits) == 4
    assert [record.offset for record in records(log, REQUESTS, after=log.begin([REQUESTS]))] == list(range(35, 50))
    log.trim(Position({REQUESTS: 35}))
    assert len(commits) == 4


def test_a_reader_whose_log_is_closed_meanwhile_is_told(log: SqliteLog) -> None:
    log.append(None, [acted(f"{number}") for number in range(1_500)])
    batches = log.read([OPERATIONS], Position())
    next(batches)
    log.close()
    with pytest.raises(UsageError, match="the log is closed"):
        next(batches)


# Where it begins and ends


def test_a_log_that_writes_knows_where_it_begins_and_ends_without_reading_its_file(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log.end([REQUESTS]) == Position()
    monkeypatch.setattr(SqliteFile, "reader", None)
    end = log.append(None, [requested("a"), requested("b")])
    assert log.end([REQUESTS]) == end
    assert log.wait_beyond([REQUESTS], Position(), timeout_s=0)
    assert not log.wait_beyond([REQUESTS], end, timeout_s=0)
    assert list(log.read([REQUESTS], end)) == []
    log.trim(Position({REQUESTS: 1}))
    assert log.begin([REQUESTS]) == Position({REQUESTS: 1})
    with pytest.raises(PositionExpired):
        log.read([REQUESTS], Position())


def test_what_an_interrupted_trim_left_is_read_from_the_file(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(None, [requested("a"), requested("b")])
    transaction = log._file.transaction

    @contextmanager
    def interrupted(op: str) -> Iterator[sqlite3.Connection]:
        with transaction(op) as connection:
            yield connection
        raise KeyboardInterrupt

    monkeypatch.setattr(log._file, "transaction", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.trim(Position({REQUESTS: 1}))
    assert log.begin([REQUESTS]) == Position({REQUESTS: 1})


def test_appends_of_every_size_keep_their_order(log: SqliteLog) -> None:
    sizes = [1, 3, 4, 5, 16, 63, 64, 65, 84, 85, 150]
    for size in sizes:
        log.append(None, [acted(f"{size}/{number}") for number in range(size)])
    assert actions(log) == [f"{size}/{number}" for size in sizes for number in range(size)]


# Shared commits


def held(log: SqliteLog) -> threading.Lock:
    """The lock that whoever commits next has to get."""
    return log._commits._turn


def append_while_held(log: SqliteLog, appends: list[list[Draft]]) -> list[Position | BaseException]:
    """What became of `appends`, all of which were queued before the first was committed."""
    outcomes: dict[int, Position | BaseException] = {}

    def append(index: int) -> None:
        try:
            outcomes[index] = log.append(None, appends[index])
        except (RefoldError, KeyboardInterrupt) as exc:
            outcomes[index] = exc

    queue = log._commits._queue
    threads = [threading.Thread(target=append, args=(index,)) for index in range(len(appends))]
    with held(log):
        for count, thread in enumerate(threads, start=1):
            thread.start()
            while len(queue) < count:
                thread.join(0.001)
    for thread in threads:
        thread.join(30)
    return [outcomes[index] for index in range(len(appends))]


def commits_of(log: SqliteLog) -> list[str]:
    """Every COMMIT from now on."""
    commits: list[str] = []
    writer = log._file.check_writable()
    writer.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
    return commits


def test_appends_that_come_at_the_same_time_share_one_commit_and_each_gets_its_own_position(log: SqliteLog) -> None:
    commits = commits_of(log)
    outcomes = append_while_held(log, [[acted(f"{number}"), acted(f"{number} too")] for number in range(8)])
    assert commits == ["COMMIT"]
    assert outcomes == [Position({OPERATIONS: 2 * number}) for number in range(1, 9)]
    assert actions(log) == [action for number in range(8) for action in (f"{number}", f"{number} too")]


def test_times_do_not_go_back_between_appends_that_share_a_commit(log: SqliteLog) -> None:
    append_while_held(log, [[acted("late", NOON + timedelta(hours=1))], [acted("early"), acted("earlier")]])
    times = [record.event.meta.occurred_at for record in records(log)]
    assert times == [NOON + timedelta(hours=1)] * 3


def test_one_append_that_does_not_fit_fails_alone(log: SqliteLog) -> None:
    limit_pages(log, 60)
    outcomes = append_while_held(log, [[acted("a")], [requested("huge.bin", content=bytes(900 * 1024))], [acted("b")]])
    assert isinstance(outcomes[1], DiskFull)
    assert [type(outcome) for outcome in outcomes] == [Position, DiskFull, Position]
    assert actions(log) == ["a", "b"]
    assert records(log, REQUESTS) == []


def test_an_event_that_cannot_be_written_fails_its_own_append_and_no_other(log: SqliteLog) -> None:
    event = acted("bad").event
    object.__setattr__(event, "actor", 7)
    with pytest.raises(UnwritableEvent):
        log.append(None, [acted("good"), Draft("operations", "operator", event)])
    log.append(None, [acted("next")])
    assert actions(log) == ["next"]


def test_ctrl_c_within_a_shared_commit_leaves_the_outcome_of_the_others_unknown(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = log._file.transaction

    @contextmanager
    def interrupted(op: str) -> Iterator[sqlite3.Connection]:
        with transaction(op) as connection:
            yield connection
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(log._file, "transaction", interrupted)
    outcomes = append_while_held(log, [[acted("a")], [acted("b")], [acted("c")]])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyboardInterrupt"] + ["UnknownOutcome"] * 2
    assert log.end([OPERATIONS]) == Position({OPERATIONS: 3})
    log.append(None, [acted("d")])
    assert actions(log) == ["a", "b", "c", "d"]


# Full disks


def limit_pages(log: SqliteLog, count: int) -> None:
    """Let the file grow to `count` pages, after which SQLite says what it says on a full disk."""
    log._file.check_writable().execute(f"PRAGMA max_page_count = {count}")


def test_on_a_full_disk_nothing_is_appended_and_everything_before_is_still_read(log: SqliteLog) -> None:
    limit_pages(log, 120)
    count = 0
    with pytest.raises(DiskFull, match="nothing was written") as caught:  # noqa: PT012 - until the disk is full
        while True:
            log.append(None, [acted(f"{count}/{n}") for n in range(10)])
            count += 10
    assert caught.value.hint
    assert count > 100
    assert len(actions(log)) == count
    assert log.end([OPERATIONS]) == Position({OPERATIONS: count})
    limit_pages(log, 10_000)
    log.append(None, [acted("there is space again")])
    assert actions(log)[-1] == "there is space again"


# Damage


def test_a_request_that_is_no_event_is_handed_out_as_undecodable(log: SqliteLog, path: Path) -> None:
    log.append(None, [requested("a"), requested("b"), requested("c")])
    key = document_id_of("b").encode()
    tamper(path, "UPDATE requests SET frame = ?, crc32 = ? WHERE offset = 1", b"soup", checksum_of(key, b"soup"))
    (batch,) = log.read([REQUESTS], Position())
    assert [record.offset for record in batch.recorded] == [0, 2]
    assert batch.next_position == Position({REQUESTS: 3})
    digest = sha256(b"soup").hexdigest()
    (undecodable,) = batch.undecodable
    assert undecodable == Undecodable("requests", 0, 1, key, digest, undecodable.error)
    assert "0x00" in undecodable.error
    assert all(len(recorded.sha256) == 64 for recorded in batch.recorded)


@pytest.mark.parametrize("harm", ["frame = flip_bit(frame)", "key = flip_bit(key)", "crc32 = crc32 + 1"])
def test_a_flipped_bit_in_a_stored_request_is_damage_and_no_fault_of_its_sender(
    log: SqliteLog, path: Path, harm: str
) -> None:
    log.append(None, [requested("a"), requested("b"), requested("c")])
    tamper(path, f'UPDATE requests SET {harm} WHERE "offset" = 1')  # noqa: S608 - our own words
    batches = log.read([REQUESTS], Position())
    assert [(record.offset, record.key) for record in next(batches).recorded] == [(0, document_id_of("a"))]
    with pytest.raises(LogDamaged, match=r"record 1 of requests:0 .* not those that were written") as caught:
        next(batches)
    assert caught.value.position == "requests:0=1"
    assert caught.value.hint


def test_a_page_of_requests_none_of_which_is_an_event_moves_the_position(log: SqliteLog, path: Path) -> None:
    log.append(None, [requested("a"), requested("b")])
    for offset, name in enumerate("ab"):
        crc32 = checksum_of(document_id_of(name).encode(), b"\0")
        tamper(path, "UPDATE requests SET frame = ?, crc32 = ? WHERE offset = ?", b"\0", crc32, offset)
    (batch,) = log.read([REQUESTS], Position())
    assert batch.recorded == []
    assert len(batch.undecodable) == 2
    assert batch.next_position == Position({REQUESTS: 2})


def test_a_record_elsewhere_that_is_no_event_ends_reading_after_what_stands_before_it(
    log: SqliteLog, path: Path
) -> None:
    log.append(None, [acted(f"{number}") for number in range(5)])
    tamper(
        path, "UPDATE operations SET frame = ?, crc32 = ? WHERE offset = 3", b"soup", checksum_of(b"operator", b"soup")
    )
    batches = log.read([OPERATIONS], Position())
    assert [record.offset for record in next(batches).recorded] == [0, 1, 2]
    with pytest.raises(LogDamaged, match="record 3 of operations:0") as caught:
        next(batches)
    assert caught.value.position == "operations:0=3"


def test_a_changed_key_is_noticed(log: SqliteLog, path: Path) -> None:
    log.append(None, [queued("a")])
    tamper(path, "UPDATE documents SET key = 'b'")
    with pytest.raises(LogDamaged, match="not those that were written"):
        records(log, TopicPartition("documents", 0))


def test_a_kind_that_this_release_does_not_know_stops_even_in_requests(log: SqliteLog, path: Path) -> None:
    log.append(None, [requested("a"), requested("b")])
    frame = b"\x00\x00\x00\xff\xff"
    key = document_id_of("b").encode()
    tamper(path, "UPDATE requests SET frame = ?, crc32 = ? WHERE offset = 1", frame, checksum_of(key, frame))
    batches = log.read([REQUESTS], Position())
    assert len(next(batches).recorded) == 1
    with pytest.raises(UnknownKind):
        next(batches)


def test_a_record_that_is_gone_is_noticed(log: SqliteLog, path: Path) -> None:
    log.append(None, [acted(f"{number}") for number in range(5)])
    tamper(path, "DELETE FROM operations WHERE offset IN (2, 4)")
    batches = log.read([OPERATIONS], Position())
    assert len(next(batches).recorded) == 2
    with pytest.raises(LogDamaged, match="record 2 of operations:0 does not read back: it is missing"):
        next(batches)
    with pytest.raises(LogDamaged, match="record 4"):
        records(log, after=Position({OPERATIONS: 4}))


def test_a_page_full_of_noise_ends_reading_after_what_stands_before_it(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        for start in range(0, 3_000, 100):
            log.append(None, [acted(f"{number}") for number in range(start, start + 100)])
        whole = records(log)
    content = bytearray(path.read_bytes())
    middle = len(content) // 4_096 // 2 * 4_096
    content[middle : middle + 4_096] = random.Random(3).randbytes(4_096)
    path.write_bytes(content)
    with closing(SqliteLog(path)) as damaged:
        read: list[Recorded] = []
        with pytest.raises(LogDamaged) as caught:  # noqa: PT012 - what is read before counts
            for batch in damaged.read([OPERATIONS], Position()):
                read += batch.recorded
        assert caught.value.position == f"operations:0={len(read)}"
        assert 500 < len(read) < 3_000
        assert read == whole[: len(read)]
        damaged.append(None, [acted("the end is whole")])


def test_flipped_bytes_never_change_an_event_and_never_raise_anything_but_our_errors(path: Path) -> None:
    SqliteLog(path).close()
    first_event_byte = path.stat().st_size
    with closing(SqliteLog(path)) as log:
        log.append(None, [acted(f"{number}") for number in range(400)])
        log.append(None, [requested(f"{number}") for number in range(400)])
        whole = {(r.topic, r.offset): r for r in records(log, OPERATIONS, REQUESTS)}
    original = path.read_bytes()
    rng = random.Random(11)
    noticed = 0
    for _ in range(60):
        content = bytearray(original)
        content[rng.randrange(first_event_byte, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        with closing(SqliteLog(path, read_only=True)) as damaged:
            for tp in (OPERATIONS, REQUESTS):
                try:
                    for batch in damaged.read([tp], Position()):
                        assert all(whole[r.topic, r.offset] == r for r in batch.recorded)
                        assert not batch.undecodable
                except LogDamaged:
                    noticed += 1
    assert noticed > 30


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE topics SET topic = 'requesus' WHERE topic = 'requests'",
        "UPDATE topics SET last_occurred_at = '2026-01-01T:2:00:00' WHERE topic = 'requests'",
        "UPDATE topics SET begin_offset = 70 WHERE topic = 'requests'",
        "UPDATE topics SET end_offset = 70 WHERE topic = 'requests'",
        "UPDATE topics SET end_offset = 2 WHERE topic = 'requests'",
        "DELETE FROM log",
    ],
)
def test_what_has_no_checksum_is_told_as_damage_when_it_cannot_be_true(path: Path, harm: str) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b"), requested("c")])
    tamper(path, harm)
    with pytest.raises(LogDamaged) as told, closing(SqliteLog(path)) as damaged:  # noqa: PT012 - at the latest
        list(damaged.read([REQUESTS], Position()))
        damaged.append(None, [requested("d")])
    assert told.value.hint


def test_wherever_a_bit_turns_over_it_is_told_in_our_own_words_or_harmless(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        for number in range(60):
            log.append(None, [requested(f"{number}")])
    original = path.read_bytes()
    used = [at for at in range(12 * 4_096) if original[at]]
    rng = random.Random(5)
    hints: list[str | None] = []
    for _ in range(150):
        content = bytearray(original)
        content[rng.choice(used)] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            with closing(SqliteLog(path)) as damaged:
                list(damaged.read([REQUESTS], Position()))
                damaged.append(None, [requested("one more")])
        except RefoldError as exc:
            hints.append(exc.hint)
    assert len(hints) > 20
    assert all(hints)


def test_a_schema_that_is_no_text_any_more_is_damage(path: Path) -> None:
    SqliteLog(path).close()
    path.write_bytes(path.read_bytes().replace(b"crc32 INTEGER", b"crc32 \xc9NTEGER"))
    with pytest.raises(LogDamaged, match="does not read back"):
        SqliteLog(path)


def test_frames_are_those_of_the_codec(log: SqliteLog, path: Path) -> None:
    draft = acted("x")
    log.append(None, [draft])
    with closing(sqlite3.connect(path)) as connection:
        ((frame,),) = connection.execute("SELECT frame FROM operations").fetchall()
        ((record, version),) = connection.execute(
            "SELECT record, version FROM schemas WHERE id = ?", (int.from_bytes(frame[1:5]),)
        ).fetchall()
    assert (record, version) == ("OperatorActed", 1)
    assert frame[5:] == Codec(MemoryRegistry()).encode(draft.event)[5:]
