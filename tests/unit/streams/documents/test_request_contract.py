from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import Action, ArtifactRef, DocumentRequested, Finding, Meta, Mode, Priority
from schemas.ids import DocumentId, EventId, JobId, document_id_of, event_id_of
from streams.documents.request_contract import MAX_CONTENT_BYTES, MAX_TEXT_BYTES, broken_rule

META = Meta(event_id=event_id_of("test", "DocumentRequested"), occurred_at=datetime.now(UTC), pipeline_id="test")


def asked(uri: str = "push:letters/1", **fields: Any) -> DocumentRequested:
    return replace(DocumentRequested(meta=META, document_id=document_id_of(uri), uri=uri), **fields)


@pytest.mark.parametrize(
    "request_",
    [
        asked(content=b"x" * MAX_CONTENT_BYTES),
        asked("file:///docs/a.md", adapter="folder", finding=Finding(uri="file:///docs/a.md", size_bytes=0)),
        asked(content_ref=ArtifactRef(sha256="0" * 64, size_bytes=0)),
        asked(meta=replace(META, job_id=JobId("any text"), causation_id=META.event_id), action=Action.RETRY),
        asked(metadata={"team": "x" * (MAX_TEXT_BYTES - 100)}),
    ],
)
def test_a_request_that_keeps_the_contract_breaks_no_rule(request_: DocumentRequested) -> None:
    assert broken_rule(request_) is None


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (asked(meta=replace(META, event_id=EventId(""))), "meta.event_id '' is no uuid"),
        (asked(meta=replace(META, event_id=EventId(META.event_id.upper()))), "lower-case"),
        (asked(meta=replace(META, causation_id=EventId("mail-7"))), "meta.causation_id 'mail-7'"),
        (asked(""), "the uri is empty"),
        (asked("report.pdf"), "none of file:, folder:"),
        (asked("HTTP://Example.com/a"), "write 'http://example.com/a'"),
        (asked(document_id=DocumentId("7")), f"URL namespace, {document_id_of('push:letters/1')}"),
        (asked(action=Action.UNKNOWN), "action is not known"),
        (asked(mode=Mode.UNKNOWN), "mode is not known"),
        (asked(priority=Priority.UNKNOWN), "priority is not known"),
        (asked(content=b"x" * (MAX_CONTENT_BYTES + 1)), "more than 921600: store it and send content_ref"),
        (asked(content_ref=ArtifactRef(sha256="../../../etc/shadow", size_bytes=1)), "64 lower-case hex digits"),
        (asked(content_ref=ArtifactRef(sha256="0" * 64, size_bytes=-1)), "at least 0"),
        (asked(finding=Finding(uri="file:///a", size_bytes=-1)), "finding.size_bytes is below 0"),
        (asked(adapter="x" * 201), "adapter has more than 200 bytes"),
        (asked(meta=replace(META, job_id=JobId("j" * 201))), "meta.job_id has more than 200 bytes"),
        (asked(metadata={"a\0b": "c"}), "U+0000"),
        (asked(source_root="file:///a\0"), "U+0000"),
        (asked(metadata={"team": "x" * MAX_TEXT_BYTES}), "more than 262144"),
        (asked("push:" + "x" * MAX_TEXT_BYTES), "more than 262144"),
    ],
)
def test_a_broken_rule_is_told_so_that_its_sender_can_mend_it(request_: DocumentRequested, says: str) -> None:
    problem = broken_rule(request_)
    assert problem is not None
    assert says in problem
    assert len(problem) < 1_000
