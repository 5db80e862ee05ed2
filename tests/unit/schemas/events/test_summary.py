"""Which events answer a request, and what an event says in one line."""

from datetime import UTC, datetime

from refold.commands.event_json import recorded_json
from schemas.events import (
    TOPICS,
    DocumentCompleted,
    DocumentFailed,
    DocumentQueued,
    DocumentReleased,
    DocumentStarted,
    ErrorClass,
    JobFinished,
    Meta,
    PipelineEvent,
    Stage,
    is_answer,
)
from schemas.events.summary import summary_of
from schemas.ids import EventId, document_id_of
from streams.log import Recorded

URI = "folder:docs/report.md"
META = Meta(event_id=EventId("e"), occurred_at=datetime(2026, 1, 1, tzinfo=UTC), pipeline_id="p")
OF_DOCUMENT = {"meta": META, "document_id": document_id_of(URI), "request_id": EventId("r")}
QUEUED = DocumentQueued(**OF_DOCUMENT, uri=URI, force=True)
COMPLETED = DocumentCompleted(**OF_DOCUMENT, uri=URI, version=3, chunk_count=2, duration_ms=24)
FAILED = DocumentFailed(
    **OF_DOCUMENT, stage=Stage.PARSE, error_class=ErrorClass.TRANSIENT, error_code="timeout", message="it took too long"
)


def test_every_event_of_a_document_but_three_answers_its_request() -> None:
    kinds = TOPICS["documents"]
    versioned = {"DocumentCompleted", "VectorsAdded"}
    events = [kind(**OF_DOCUMENT, **({"version": 1} if kind.__name__ in versioned else {})) for kind in kinds]
    unanswered = {type(event) for event in events if not is_answer(event)}
    assert unanswered == {DocumentQueued, DocumentStarted, DocumentReleased}


def test_a_failure_that_is_tried_again_is_no_answer() -> None:
    assert is_answer(FAILED)
    assert not is_answer(DocumentFailed(**OF_DOCUMENT, is_final=False))
    assert not is_answer(JobFinished(meta=META))


def test_the_log_says_what_the_history_says_and_names_the_document() -> None:
    def in_the_log(event: PipelineEvent) -> object:
        return recorded_json(Recorded(topic="documents", partition=0, offset=0, key="k", event=event))["summary"]

    assert summary_of(QUEUED) == "INGEST AUTO, NORMAL, forced"
    assert in_the_log(QUEUED) == f"INGEST AUTO, NORMAL, forced, {URI}"
    assert in_the_log(COMPLETED) == f"version 3, 2 chunks, 24 ms, {URI}"
    assert in_the_log(FAILED) == summary_of(FAILED) == "PARSE TRANSIENT timeout, final: it took too long"
