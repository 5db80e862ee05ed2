"""Answers that no log can hold: the failure of their document, whatever an attempt came to."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.codec import Codec
from schemas.events import (
    DocumentCompleted,
    DocumentFailed,
    DocumentQueued,
    ErrorClass,
    Finding,
    Meta,
    Stage,
    StageReport,
    VectorsRef,
)
from schemas.ids import document_id_of, event_id_of
from schemas.registries.memory import MemoryRegistry
from streams.documents.state import DocumentState, OpenRequest
from streams.slot.answers import MAX_ANSWER_BYTES, MAX_SAID_CHARS, DocumentEventWriter
from streams.slot.attempt import AttemptOutcome, Unchanged, VectorsProduced
from streams.slot.retry import MAX_RETRY_AFTER_S, RetryPolicy
from tests.worlds.outcomes import FAILED, LONE, PRODUCED, REF

NOON = datetime(2026, 1, 1, tzinfo=UTC)


def answer(outcome: AttemptOutcome, *, failures: int = 0, max_attempts: int = 4) -> DocumentFailed | DocumentCompleted:
    uri = "push:a"
    queued = DocumentQueued(
        meta=Meta(event_id=event_id_of(uri, "q"), occurred_at=NOON, pipeline_id="test", sequence=1),
        document_id=document_id_of(uri),
        request_id=event_id_of(uri, "r"),
        uri=uri,
        adapter="push",
    )
    request = OpenRequest(queued=queued, order=0, started_id=event_id_of(uri, "s"), failures=failures)
    writer = DocumentEventWriter(
        pipeline_id="test", retries=RetryPolicy(max_attempts=max_attempts), generator=random.Random(7)
    )
    state = DocumentState(document_id=queued.document_id, requests=(request,))
    event = writer.outcome(state, request, NOON, outcome=outcome, duration_ms=5)
    assert isinstance(event, DocumentFailed | DocumentCompleted)
    codec = Codec(MemoryRegistry())
    assert codec.decode(codec.encode(event)) == event
    return event


def report(**fields: Mapping[str, int] | int | str) -> StageReport:
    return StageReport(stage=Stage.PARSE, fingerprint="f", input_hash="i", output=REF, **fields)  # type: ignore[arg-type]


UNWRITABLE: Mapping[str, AttemptOutcome] = {
    "a title with half a character": replace(PRODUCED, title=LONE),
    "a media type with half a character": replace(PRODUCED, media_type=LONE),
    "a title that is a number": replace(PRODUCED, title=5),  # type: ignore[arg-type]
    "a count beyond 64 bits": replace(PRODUCED, stages=[report(counts={"n": 2**70})]),
    "a name of a count with half a character": replace(PRODUCED, stages=[report(counts={LONE: 1})]),
    "a duration beyond 64 bits": replace(PRODUCED, stages=[report(duration_ms=-(2**63) - 1)]),
    "more chunks than a number holds": replace(PRODUCED, chunk_count=2**63),
    "a finding with half a character": Unchanged(finding=Finding(uri=LONE)),
    "a validator of a megabyte": Unchanged(finding=Finding(uri="push:a", validators={"etag": "x" * 1_000_000})),
    "vectors longer than a number holds": VectorsProduced(vectors=VectorsRef(embedder="e", dim=2**63, ref=REF)),
    "a stage of a failure with half a character": replace(FAILED, stages=[report(counts={LONE: 1})]),
    "a megabyte of counts": replace(FAILED, stages=[report(counts={str(n): n for n in range(200_000)})]),
    "no outcome at all": None,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_no_log_can_hold_is_a_failure_that_says_so(name: str) -> None:
    event = answer(UNWRITABLE[name])
    assert isinstance(event, DocumentFailed)
    assert (event.error_class, event.error_code) == (ErrorClass.PERMANENT, "unwritable_answer")
    assert event.is_final
    assert event.hint


def test_what_a_log_can_hold_is_written_as_it_is() -> None:
    assert answer(replace(PRODUCED, title="Größe 漢字 😀", chunk_count=2**63 - 1)).title == "Größe 漢字 😀"
    validators = {"etag": "x" * (MAX_ANSWER_BYTES - 1_000)}
    completed = answer(replace(PRODUCED, finding=Finding(uri="push:a", validators=validators)))
    assert isinstance(completed, DocumentCompleted)


def test_a_failure_keeps_its_code_however_strange_its_words_are() -> None:
    event = answer(replace(FAILED, message=LONE + "x" * 1_000_000, hint=LONE))
    assert isinstance(event, DocumentFailed)
    assert event.error_code == "parser_failed"
    assert event.message.startswith(r"half a pair: \udcff")
    assert len(event.message) < MAX_SAID_CHARS + 10
    assert event.hint == r"half a pair: \udcff"


@pytest.mark.parametrize("wish_s", [math.inf, math.nan, -1.0, 1e300, None])
@pytest.mark.parametrize("failures", [0, 1_100, 100_000])
def test_a_retry_is_never_later_than_an_hour_whatever_a_source_wishes(wish_s: float | None, failures: int) -> None:
    transient = replace(FAILED, error_class=ErrorClass.TRANSIENT, retry_after_s=wish_s)
    event = answer(transient, failures=failures, max_attempts=1_000_000)
    assert isinstance(event, DocumentFailed)
    assert (event.error_code, event.is_final) == ("parser_failed", False)
    assert event.retry_at is not None
    assert NOON <= event.retry_at <= NOON + timedelta(seconds=MAX_RETRY_AFTER_S)
