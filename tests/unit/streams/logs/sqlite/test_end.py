"""What a SQLite log has lost at its end is told; what is no loss is not."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from schemas.events import Meta, OperatorActed
from schemas.ids import event_id_of
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Draft, LogDamaged
from streams.logs.sqlite import commit
from streams.logs.sqlite.end import EndFile, LogEnd, end_path, lost_events, read_end
from streams.logs.sqlite.log import SqliteLog
from tests.commands.dying_process import process
from tests.samples.flipped_bits import tamper
from tests.samples.log_drafts import NOON, requested

REQUESTS = TopicPartition("requests", 0)
OPERATIONS = TopicPartition("operations", 0)
EMPTY = dict.fromkeys(TOPIC_NAMES, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def acted(action: str) -> Draft:
    meta = Meta(event_id=event_id_of(action, "test"), occurred_at=NOON, pipeline_id="run-1")
    return Draft("operations", "operator", OperatorActed(meta=meta, actor="pat", action=action))


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def append_and_die(path: Path, *, after: int = 4, trimmed: int = 0) -> None:
    """Append `after` requests and one operation, each by itself, and die with the WAL as it is."""
    log = SqliteLog(path)
    for number in range(after):
        log.append(None, [requested(f"{number}")])
    log.append(None, [acted("the last one")])
    if trimmed:
        log.trim(Position({REQUESTS: trimmed}))
    os.kill(os.getpid(), signal.SIGKILL)


def owner_that_dies(path: Path, **options: object) -> None:
    with process(append_and_die, path, **options):
        pass


def bytes_of(folder: Path) -> Mapping[str, bytes]:
    """What is there, without an index of the WAL, and a WAL that is empty, which SQLite makes to read."""
    contents = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in contents.items() if content}


def flip_last_frame(path: Path) -> None:
    wal = bytearray(wal_of(path).read_bytes())
    wal[-100] ^= 0x20
    wal_of(path).write_bytes(wal)


def cut_wal(path: Path) -> None:
    wal = wal_of(path)
    os.truncate(wal, wal.stat().st_size - 200)


def remove_wal(path: Path) -> None:
    wal_of(path).unlink()
    wal_of(path).with_name(f"{path.name}-shm").unlink(missing_ok=True)


HARMS: Mapping[str, Callable[[Path], None]] = {
    "a byte of the last frame": flip_last_frame,
    "the WAL is cut": cut_wal,
    "the WAL is gone": remove_wal,
}


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_events_that_the_wal_of_a_killed_owner_has_lost_are_told(
    path: Path, harm: Callable[[Path], None], *, read_only: bool
) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("kept")])
    owner_that_dies(path)
    harm(path)
    left = bytes_of(path.parent)
    with pytest.raises(LogDamaged, match=r"has lost its last events.*1 of operations") as told:
        SqliteLog(path, read_only=read_only)
    assert "backup" in str(told.value.hint)
    assert "refold rebuild all" in str(told.value.hint)
    assert bytes_of(path.parent) == left  # nothing more is lost by looking


@pytest.mark.parametrize("read_only", [True, False])
def test_an_older_copy_that_is_put_back_is_told_with_what_it_lacks(path: Path, *, read_only: bool) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("kept")])
    shutil.copy2(path, older := path.with_name("older"))
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b"), acted("c")])
    shutil.copy2(older, path)
    with pytest.raises(LogDamaged, match="1 of operations, 2 of requests"):
        SqliteLog(path, read_only=read_only)


@pytest.mark.parametrize("how", ["absent", "empty", "another one"])
def test_a_log_in_whose_place_there_is_none_or_another_one_is_told(path: Path, how: str) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b")])
    path.unlink()
    if how == "empty":
        path.touch()
    if how == "another one":
        with closing(SqliteLog(other := path.with_name("other.sqlite"))) as log:
            log.append(None, [requested("c"), requested("d"), requested("e")])
        other.rename(path)
    for read_only in (True, False):
        with pytest.raises(LogDamaged, match="2 of requests"):
            SqliteLog(path, read_only=read_only)
    assert path.exists() == (how != "absent")


def test_a_log_that_is_put_back_whole_is_a_log_like_any_other(path: Path) -> None:
    owner_that_dies(path)
    shutil.copytree(path.parent, kept := path.parent.with_name("kept"))
    flip_last_frame(path)
    assert lost_events(path) == {"operations": 1}
    for file in kept.glob("log.sqlite*"):
        shutil.copy2(file, path.parent)
    with closing(SqliteLog(path)) as log:
        assert log.end([REQUESTS, OPERATIONS]) == Position({REQUESTS: 4, OPERATIONS: 1})


def test_a_loss_that_is_accepted_is_told_until_something_is_appended(path: Path) -> None:
    owner_that_dies(path)
    flip_last_frame(path)
    SqliteLog(path, accepts_loss=True).close()
    assert lost_events(path) == {"operations": 1}
    with closing(SqliteLog(path, accepts_loss=True)) as log:
        assert log.append(None, [requested("next")]) == Position({REQUESTS: 5})
    assert lost_events(path) == {}
    with closing(SqliteLog(path)) as log:
        assert log.end([REQUESTS, OPERATIONS]) == Position({REQUESTS: 5})


def test_a_log_whose_tables_say_something_else_than_its_ends_is_damaged(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b"), requested("c")])
    tamper(path, 'DELETE FROM requests WHERE "offset" = 2')
    with pytest.raises(LogDamaged, match=r"table requests of .* does not read back"):
        SqliteLog(path)


# What is no loss


def test_an_owner_that_trims_and_dies_leaves_nothing_to_tell(path: Path) -> None:
    for trimmed in (2, 4):
        owner_that_dies(path, trimmed=trimmed)
        assert lost_events(path) == {}
        SqliteLog(path, read_only=True).close()
    with closing(SqliteLog(path)) as log:
        log.trim(log.end([REQUESTS]))
    SqliteLog(path).close()


def garble(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 8] ^= 1
    file.write_bytes(content)


WITNESS_HARMS: Mapping[str, Callable[[Path], object]] = {
    "absent": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "half": lambda file: os.truncate(file, 30),
    "a byte of it": garble,
    "no text": lambda file: file.write_bytes(os.urandom(512)),
    "of zeros": lambda file: file.write_bytes(bytes(512)),
}


@pytest.mark.parametrize("harm", WITNESS_HARMS.values(), ids=WITNESS_HARMS)
def test_an_end_that_was_lost_or_damaged_is_ignored_and_kept_anew(path: Path, harm: Callable[[Path], object]) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b")])
        log_id = log.log_id
    harm(end_path(path))
    SqliteLog(path, read_only=True).close()
    assert read_end(path) is None
    SqliteLog(path).close()
    assert read_end(path) == LogEnd(log_id, {**EMPTY, "requests": 2})


def test_an_end_that_cannot_be_kept_keeps_nobody_from_appending(path: Path) -> None:
    end_path(path).mkdir()
    with closing(SqliteLog(path)) as log:
        assert log.append(None, [requested("a")]) == Position({REQUESTS: 1})
    with closing(SqliteLog(path)) as log:
        assert log.append(None, [requested("b")]) == Position({REQUESTS: 2})


def test_an_older_end_is_no_obstacle(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a")])
        older = end_path(path).read_bytes()
        log.append(None, [requested("b")])
    end_path(path).write_bytes(older)  # as a power cut may leave it
    SqliteLog(path).close()
    assert read_end(path) == LogEnd(log.log_id, {**EMPTY, "requests": 2})


def test_a_copy_of_the_log_alone_is_a_log(path: Path, tmp_path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a")])
    (copies := tmp_path / "copies").mkdir()
    shutil.copy2(path, copies)
    with closing(SqliteLog(copies / path.name)) as log:
        assert log.end([REQUESTS]) == Position({REQUESTS: 1})


# Deaths at each step of an append


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_end_is_kept(path: Path) -> None:
    log = SqliteLog(path)
    commit.EndFile.keep = die  # type: ignore[method-assign]
    log.append(None, [requested("more")])


def die_while_the_end_is_kept(path: Path) -> None:
    log = SqliteLog(path)

    def write_half(fd: int, record: bytes, offset: int) -> int:
        os.write(fd, record[:60])
        os.kill(os.getpid(), signal.SIGKILL)
        return offset

    os.pwrite = write_half  # type: ignore[assignment]
    log.append(None, [requested("more")])


def die_before_readers_are_told(path: Path) -> None:
    log = SqliteLog(path)
    log._watermarks.moved = die  # type: ignore[method-assign]
    log.append(None, [requested("more")])


def die_within_the_commit(path: Path) -> None:
    log = SqliteLog(path)
    log._file.check_writable().set_trace_callback(lambda traced: die() if traced == "COMMIT" else None)
    log.append(None, [requested("more")])


@pytest.mark.parametrize(
    ("step", "is_appended"),
    [
        (die_within_the_commit, False),
        (die_before_the_end_is_kept, True),
        (die_while_the_end_is_kept, True),
        (die_before_readers_are_told, True),
    ],
)
def test_an_append_cut_short_at_any_step_is_no_loss(
    path: Path, step: Callable[[Path], None], *, is_appended: bool
) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("a"), requested("b")])
    with process(step, path):
        pass
    end = Position({REQUESTS: 3 if is_appended else 2})
    with closing(SqliteLog(path, read_only=True)) as log:
        assert log.end([REQUESTS]) == end
    with closing(SqliteLog(path)) as log:
        assert log.end([REQUESTS]) == end
    assert read_end(path) == LogEnd(log.log_id, {**EMPTY, "requests": end.offset(REQUESTS)})


def test_a_transaction_that_was_torn_before_it_was_acknowledged_is_no_loss(path: Path) -> None:
    with process(die_before_the_end_is_kept, path):
        pass
    cut_wal(path)
    with closing(SqliteLog(path)) as log:
        assert log.end([REQUESTS]) == Position()


def test_what_is_kept_has_one_size_whatever_it_says(path: Path) -> None:
    end_file = EndFile(path, "an-id")
    for offset in (0, 7, 2**62):
        ends = dict.fromkeys(TOPIC_NAMES, offset)
        end_file.keep(ends)
        assert read_end(path) == LogEnd("an-id", ends)
    end_file.close()
    end_file.close()
    assert end_path(path).stat().st_size == 512


def test_a_reader_that_opens_a_growing_log_again_and_again_finds_nothing_lost(path: Path) -> None:
    with process(append_for_ever, path, 300):
        reads = 0
        while (end := read_end(path)) is None or end.end_offsets["requests"] < 300:
            if end is not None:
                SqliteLog(path, read_only=True).close()
                reads += 1
    assert reads
    assert lost_events(path) == {}


def append_for_ever(path: Path, count: int) -> None:
    log = SqliteLog(path)
    for number in range(count):
        log.append(None, [requested(f"{number}")])
    die()
