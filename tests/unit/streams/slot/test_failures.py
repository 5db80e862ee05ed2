"""A slot's thread over a real log goes on, whatever one document's attempt comes to or raises."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import DiskFull, RefoldError
from schemas.events import DocumentCompleted, DocumentEvent, DocumentFailed, DocumentRequested, Meta
from schemas.ids import document_id_of, event_id_of
from schemas.positions import Position
from streams.artifact_stores.memory import MemoryArtifacts
from streams.log import Draft, EventLog
from streams.logs.sqlite.log import SqliteLog
from streams.slot.answers import DocumentEventWriter
from streams.slot.attempt import Attempt, AttemptOutcome
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.slot.slot import Slot
from streams.slot.thread import SlotThread
from streams.slot.workload import Workload
from tests.worlds.folded_states import FoldedStates
from tests.worlds.outcomes import FAILED, LONE, PRODUCED

WAIT_S = 60.0


class Panic(BaseException):
    """What a Rust library raises when it panics is no Exception."""


BAD: Mapping[str, AttemptOutcome | BaseException] = {
    "a message with half a character": replace(FAILED, message=LONE),
    "a title with half a character": replace(PRODUCED, title=LONE),
    "a number beyond 64 bits": replace(PRODUCED, chunk_count=2**70),
    "a panic": Panic("index out of bounds"),
    "an exit": SystemExit(3),
    "a bug": ZeroDivisionError("oops"),
}


class ScriptedAttempts:
    """What becomes of each document is told by its uri; the others are completed."""

    parameters: Mapping[str, str] = {"parse": "1"}

    def __init__(self, outcomes: Mapping[str, AttemptOutcome | BaseException]) -> None:
        self._outcomes = outcomes

    async def run(self, attempt: Attempt) -> AttemptOutcome:
        outcome = self._outcomes.get(attempt.request.uri, PRODUCED)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def working(
    log: EventLog,
    loop: asyncio.AbstractEventLoop,
    attempts: ScriptedAttempts,
    *,
    on_failure: Callable[[RefoldError], None] = lambda _: None,
) -> Iterator[SlotThread]:
    thread = SlotThread(log=log, attempts=attempts, loop=loop, on_failure=on_failure)
    slot = Slot(
        0,
        SlotParts(
            log=log,
            states=FoldedStates(log),
            artifacts=MemoryArtifacts(lambda: datetime.now(UTC)),
            writer=DocumentEventWriter(pipeline_id="test", retries=RetryPolicy(), generator=random.Random(7)),
            workload=Workload(limit=3),
            begin=thread.begin,
            parameters=attempts.parameters,
            clock=lambda: datetime.now(UTC),
            monotonic=lambda: 0.0,
        ),
    )
    thread.start(slot)
    yield thread
    thread.stop(0.0)


def ask(log: EventLog, uri: str) -> None:
    document_id = document_id_of(uri)
    meta = Meta(event_id=event_id_of(uri, "test"), occurred_at=datetime.now(UTC), pipeline_id="test")
    request = DocumentRequested(meta=meta, document_id=document_id, uri=uri, content=b"words")
    log.append(None, [Draft("requests", document_id, request)])


def answers(log: EventLog, count: int, thread: SlotThread) -> dict[str, DocumentEvent]:
    """The first `count` answers of the log by the last word of their uris, as they come."""
    partitions, position = log.partitions("documents"), Position()
    found: dict[str, DocumentEvent] = {}
    names = {document_id_of(f"push:{name}"): name for name in ("bad", "good", "late")}
    while len(found) < count:
        assert log.wait_beyond(partitions, position, WAIT_S), (found, thread.error)
        for batch in log.read(partitions, position):
            events = [record.event for record in batch.recorded]
            found |= {names[e.document_id]: e for e in events if isinstance(e, DocumentCompleted | DocumentFailed)}
            position = batch.next_position
    return found


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_cannot_be_written_fails_its_document_and_no_other(
    tmp_path: Path, loop: asyncio.AbstractEventLoop, name: str
) -> None:
    attempts = ScriptedAttempts({"push:bad": BAD[name]})
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        ask(log, "push:bad")
        ask(log, "push:good")
        with working(log, loop, attempts) as thread:
            found = answers(log, 2, thread)
            ask(log, "push:late")
            found = answers(log, 3, thread)
        assert thread.error is None
    assert isinstance(found["bad"], DocumentFailed)
    assert found["bad"].is_final
    assert isinstance(found["good"], DocumentCompleted)
    assert isinstance(found["late"], DocumentCompleted)


def test_a_full_disk_still_ends_the_worker(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    ended = threading.Event()
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        ask(log, "push:bad")
        attempts = ScriptedAttempts({"push:bad": DiskFull()})
        with working(log, loop, attempts, on_failure=lambda _: ended.set()) as thread:
            assert ended.wait(WAIT_S)
        assert isinstance(thread.error, DiskFull)
