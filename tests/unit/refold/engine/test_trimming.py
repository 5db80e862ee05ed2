"""Requests are forgotten once they are durably taken, and not before."""

from __future__ import annotations

from datetime import UTC, datetime

from refold.engine.trimming import RequestsTrimmer
from schemas.events import DocumentRequested, Meta
from schemas.ids import EventId, document_id_of
from schemas.positions import Position, TopicPartition
from streams.log import Draft
from streams.logs.memory import MemoryLog

REQUESTS = TopicPartition("requests", 0)


class Taken:
    def __init__(self, log: MemoryLog) -> None:
        self.offset = 0
        self._log_id = log.log_id

    def taken_offset(self, log_id: str, partition: int) -> int:
        assert (log_id, partition) == (self._log_id, 0)
        return self.offset


def asked(number: int) -> Draft:
    uri = f"push:{number}"
    meta = Meta(event_id=EventId(f"r{number}"), occurred_at=datetime(2026, 1, 1, tzinfo=UTC), pipeline_id="run")
    return Draft(
        "requests", document_id_of(uri), DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri)
    )


def test_only_what_is_taken_is_trimmed_and_only_when_it_is_worth_it() -> None:
    log = MemoryLog()
    taken = Taken(log)
    trimmer = RequestsTrimmer(log, taken, every=10)  # type: ignore[arg-type]
    log.append(None, [asked(n) for n in range(25)])
    trimmer.step()
    assert log.begin([REQUESTS]) == Position()
    taken.offset = 9
    trimmer.step()
    assert log.begin([REQUESTS]) == Position()
    taken.offset = 17
    trimmer.step()
    assert log.begin([REQUESTS]) == Position({REQUESTS: 17})
