"""Workers over a real Kafka: requests are answered once each, whoever is killed, stopped or started meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events import DocumentCompleted, DocumentEvent, DocumentQueued, DocumentRequested, Meta
from schemas.ids import document_id_of, event_id_of
from schemas.positions import Position, TopicPartition
from streams.log import Draft
from streams.logs.kafka.log import KafkaLog
from tests.servers.kafka_corpora import KafkaCorpora, kafka_corpora

pytest.importorskip("faust", reason="needs pip install 'refold[kafka]'")

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE_S = 120.0


@pytest.fixture
def corpora() -> Iterator[KafkaCorpora]:
    with kafka_corpora() as corpora:
        yield corpora


Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(corpora: KafkaCorpora, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker or a projector of the corpus."""
    started: list[subprocess.Popen[str]] = []
    arguments = [corpora.client["bootstrap.servers"], corpora.names("log").corpus, str(tmp_path / "manifest.sqlite")]

    def begin(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(HERE / f"{program}_process.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=(tmp_path / f"{program}-{len(started)}.log").open("w"),
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def publish(log: KafkaLog, numbers: range) -> None:
    drafts = []
    for number in numbers:
        uri = f"push:document-{number}"
        meta = Meta(
            event_id=event_id_of("test", "DocumentRequested", number), occurred_at=datetime.now(UTC), pipeline_id="test"
        )
        request = DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri, adapter="push", content=b"x")
        drafts.append(Draft("requests", request.document_id, request))
    log.append(None, drafts)


class Answers:
    """Reads topic `documents` as it grows."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self._partitions = log.partitions("documents")
        self._position = Position()
        self.completed: Counter[str] = Counter()
        self.queued: Counter[str] = Counter()
        self.sequences: defaultdict[str, list[int]] = defaultdict(list)

    def wait_for(self, count: int) -> None:
        """Return when `count` requests are answered."""
        waits = int(PATIENCE_S)
        while len(self.completed) < count and waits:
            waits -= not self._log.wait_beyond(self._partitions, self._position, 1.0)
            self._read_on()
        assert len(self.completed) >= count

    def _read_on(self) -> None:
        for batch in self._log.read(self._partitions, self._position):
            for event in (recorded.event for recorded in batch.recorded):
                assert isinstance(event, DocumentEvent)
                self.sequences[event.document_id].append(event.meta.sequence)
                self.queued.update([event.request_id] if isinstance(event, DocumentQueued) else [])
                self.completed.update([event.request_id] if isinstance(event, DocumentCompleted) else [])
            self._position = self._position.joined(batch.next_position)

    def check(self, count: int) -> None:
        """Each of `count` requests was taken and answered once, and sequences have no hole and no fork."""
        assert (len(self.queued), len(self.completed)) == (count, count)
        assert set(self.queued.values()) == set(self.completed.values()) == {1}
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in self.sequences.values())


def committed(corpora: KafkaCorpora) -> dict[TopicPartition, int]:
    """What tools that show lag see of the workers' group."""
    from confluent_kafka import ConsumerGroupTopicPartitions  # noqa: PLC0415 - an extra

    names = corpora.names("log")
    group = f"{names.corpus}-workers"
    answers = corpora.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    topics = {names.topic("requests"): "requests"}
    return {
        TopicPartition(topics[tp.topic], tp.partition): tp.offset
        for tp in answers[group].result().topic_partitions
        if tp.topic in topics
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_worker_loses_and_doubles_nothing(corpora: KafkaCorpora, start: Start) -> None:
    log = corpora.open()
    projector = start("projector")
    assert projector.stdout is not None
    assert projector.stdout.readline() == "following\n"
    first, second = start("worker"), start("worker")
    answers = Answers(log)
    publish(log, range(300))
    answers.wait_for(50)
    first.kill()
    publish(log, range(200, 600))  # a hundred of them for the second time
    answers.wait_for(350)
    third = start("worker")
    second.send_signal(signal.SIGTERM)
    answers.wait_for(600)
    answers.check(600)
    assert second.wait(60) == 0
    third.send_signal(signal.SIGTERM)
    assert third.wait(60) == 0
    assert committed(corpora) == dict(log.end(log.partitions("requests")))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_zombie_that_wakes_up_appends_nothing_that_others_have_answered(corpora: KafkaCorpora, start: Start) -> None:
    log = corpora.open()
    projector = start("projector")
    assert projector.stdout is not None
    assert projector.stdout.readline() == "following\n"
    zombie, other = start("worker"), start("worker")
    answers = Answers(log)
    publish(log, range(200))
    answers.wait_for(40)
    zombie.send_signal(signal.SIGSTOP)
    publish(log, range(200, 400))
    answers.wait_for(400)  # its slots have moved
    zombie.send_signal(signal.SIGCONT)
    publish(log, range(100, 600))
    answers.wait_for(600)
    other.send_signal(signal.SIGTERM)
    assert other.wait(60) == 0
    publish(log, range(600, 700))  # by now it is a worker like any other
    answers.wait_for(700)
    answers.check(700)
