"""A process that appends is killed; what it was told is durable is there, and of the rest all or nothing."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from schemas.events import DocumentRequested
from schemas.positions import Position, TopicPartition
from streams import sqlite_file
from streams.logs.sqlite.log import SqliteLog
from tests.commands.dying_process import process
from tests.samples.log_drafts import requested

REQUESTS = TopicPartition("requests", 0)
THREADS = 3
APPEND = 4
"""Events per append."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def uris(log: SqliteLog) -> list[str]:
    batches = list(log.read([REQUESTS], log.begin([REQUESTS])))
    offsets = [record.offset for batch in batches for record in batch.recorded]
    begin, end = log.begin([REQUESTS]).offset(REQUESTS), log.end([REQUESTS]).offset(REQUESTS)
    assert offsets == list(range(begin, end))
    events = [record.event for batch in batches for record in batch.recorded]
    return [event.uri for event in events if isinstance(event, DocumentRequested)]


def append_for_ever(path: Path, name: str, acknowledged: Connection) -> None:
    """Several threads append; every append that was answered is reported with its position."""
    log = SqliteLog(path)
    reporting = threading.Lock()

    def append(thread: int) -> None:
        number = 0
        while True:
            append_name = f"{name}/{thread}/{number}"
            position = log.append(None, [requested(f"{append_name}/{n}") for n in range(APPEND)])
            with reporting:
                acknowledged.send((append_name, position.offset(REQUESTS)))
            number += 1

    for thread in range(THREADS):
        threading.Thread(target=append, args=(thread,)).start()


def test_after_sigkill_every_acknowledged_append_is_there_and_every_append_is_whole(path: Path) -> None:
    rng = random.Random(5)
    acknowledged: list[tuple[str, int]] = []
    for life in range(6):
        here, there = Pipe(duplex=False)
        with process(append_for_ever, path, f"life-{life}", there) as pid:
            there.close()
            acknowledged += [here.recv() for _ in range(rng.randrange(1, 60))]
            os.kill(pid, signal.SIGKILL)
        acknowledged += rest_of(here)
        with closing(SqliteLog(path)) as log:
            read = uris(log)
        appends = [read[start].rpartition("/")[0] for start in range(0, len(read), APPEND)]
        assert read == [f"{name}/{n}" for name in appends for n in range(APPEND)]
        assert all(read[end_offset - 1] == f"{name}/{APPEND - 1}" for name, end_offset in acknowledged)
        assert len(appends) - len(acknowledged) <= (life + 1) * THREADS
        for thread in range(THREADS):
            numbers = [int(name.rpartition("/")[2]) for name in appends if name.startswith(f"life-{life}/{thread}/")]
            assert numbers == list(range(len(numbers)))


def rest_of(here: Connection) -> list[tuple[str, int]]:
    """What a dead process had still said."""
    said = []
    try:
        while True:
            said.append(here.recv())
    except EOFError:
        return said


def kill_at(statement: str) -> Callable[[str], None]:
    """A trace of SQLite's statements that kills the process just before `statement`."""

    def trace(traced: str) -> None:
        if traced.startswith(statement):
            os.kill(os.getpid(), signal.SIGKILL)

    return trace


def append_and_die(path: Path, statement: str) -> None:
    log = SqliteLog(path)
    log._file.check_writable().set_trace_callback(kill_at(statement))
    log.append(None, [requested("lost/1"), requested("lost/2")])


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO requests", "UPDATE topics", "COMMIT"])
def test_a_process_killed_within_an_append_has_appended_nothing(path: Path, statement: str) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("kept")])
    with process(append_and_die, path, statement):
        pass
    with closing(SqliteLog(path)) as log:
        assert uris(log) == ["kept"]
        assert log.append(None, [requested("next")]) == Position({REQUESTS: 2})


def trim_and_die(path: Path, statement: str) -> None:
    log = SqliteLog(path)
    log._file.check_writable().set_trace_callback(kill_at(statement))
    log.trim(Position({REQUESTS: 2}))


@pytest.mark.parametrize("statement", ["DELETE", "UPDATE topics", "COMMIT"])
def test_a_process_killed_within_a_trim_has_trimmed_nothing(path: Path, statement: str) -> None:
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("1"), requested("2"), requested("3")])
    with process(trim_and_die, path, statement):
        pass
    with closing(SqliteLog(path)) as log:
        assert uris(log) == ["1", "2", "3"]
        log.trim(Position({REQUESTS: 2}))
        assert uris(log) == ["3"]


def create_and_die(path: Path, statement_number: int) -> None:
    """Die just before that statement on the writing connection of a log in the making."""
    countdown = iter(range(statement_number, -1, -1))
    connect = sqlite_file._connect

    def trace(_statement: str) -> None:
        if next(countdown) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(uri: str) -> sqlite3.Connection:
        connection = connect(uri)
        connection.set_trace_callback(trace)
        return connection

    sqlite_file._connect = traced
    SqliteLog(path)


@pytest.mark.parametrize("statement_number", range(0, 24, 3))
def test_a_process_killed_while_it_creates_a_log_leaves_what_the_next_one_can_use(
    path: Path, statement_number: int
) -> None:
    with process(create_and_die, path, statement_number):
        pass
    with closing(SqliteLog(path)) as log:
        log.append(None, [requested("first")])
        assert uris(log) == ["first"]
