"""What people are told of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from projections.manifest.entries import DocumentStatus
from projections.manifest.view import ManifestProjection, ManifestView
from schemas.events import Action, SkipReason
from schemas.ids import document_id_of
from tests.samples.histories import NOON, Histories, sha256_of
from tests.servers.sql_views import DATABASES, apply

REPORT = "folder:docs/report.md"


@pytest.fixture(params=DATABASES)
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManifestView]:
    opened = ManifestView(DATABASES[request.param](tmp_path), log_id="log-a")
    yield opened
    opened.close()


@pytest.fixture
def made() -> Histories:
    return Histories()


def failed(made: Histories, uri: str) -> None:
    request = made.queued(uri)
    made.started(request)
    made.failed(request)


def failed_update(made: Histories, uri: str) -> None:
    made.ingested(uri)
    failed(made, uri)


def retried_and_failed_update(made: Histories, uri: str) -> None:
    failed_update(made, uri)
    made.queued(uri, action=Action.RETRY)


def removed(made: Histories, uri: str) -> None:
    made.ingested(uri)
    made.removed(made.queued(uri, action=Action.REMOVE))


def wanted_again(made: Histories, uri: str) -> None:
    removed(made, uri)
    made.queued(uri)


def never_there(made: Histories, uri: str) -> None:
    made.skipped(made.queued(uri), SkipReason.ABSENT)


def cancelled_update(made: Histories, uri: str) -> None:
    made.ingested(uri)
    made.cancelled(made.queued(uri))


def healed(made: Histories, uri: str) -> None:
    failed(made, uri)
    made.ingested(uri)


@pytest.mark.parametrize(
    ("happened", "status", "is_live"),
    [
        (Histories.queued, DocumentStatus.QUEUED, False),
        (Histories.ingested, DocumentStatus.LIVE, True),
        (failed, DocumentStatus.FAILED, False),
        (failed_update, DocumentStatus.FAILED, True),
        (retried_and_failed_update, DocumentStatus.FAILED, True),
        (healed, DocumentStatus.LIVE, True),
        (removed, DocumentStatus.REMOVED, False),
        (wanted_again, DocumentStatus.QUEUED, False),
        (never_there, DocumentStatus.ABSENT, False),
        (cancelled_update, DocumentStatus.LIVE, True),
    ],
)
def test_a_status_says_it_in_a_word(
    view: ManifestView,
    made: Histories,
    happened: Callable[[Histories, str], object],
    status: DocumentStatus,
    is_live: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    happened(made, REPORT)
    apply(view, ManifestProjection(), made.recorded)
    document = view.document(REPORT)
    assert document is not None
    assert (document.status, document.is_live) == (status, is_live)
    assert [found.uri for found in view.documents(status=status, limit=9)] == [REPORT]


def test_a_live_document_is_told_with_its_version(view: ManifestView, made: Histories) -> None:
    request = made.queued(REPORT, metadata={"team": "legal"})
    made.started(request)
    made.completed(request, text="the report", chunk_count=12, title="Annual report")
    made.queued(REPORT)
    apply(view, ManifestProjection(), made.recorded)
    document = view.document(document_id_of(REPORT))
    assert document is not None
    assert (document.uri, document.source_root, document.version, document.sequence) == (REPORT, "folder:docs", 1, 4)
    assert (document.title, document.media_type, document.chunk_count) == ("Annual report", "text/markdown", 12)
    assert (document.content_hash, document.metadata) == (sha256_of("the report"), {"team": "legal"})
    assert document.completed_at == NOON + timedelta(seconds=2, microseconds=17)
    assert document.updated_at == NOON + timedelta(seconds=3, microseconds=17)
    assert (document.open_requests, document.answer_kind, document.failure) == (1, "DocumentCompleted", None)
    assert document.finding == request.finding


def test_a_removed_document_keeps_its_row_and_its_version(view: ManifestView, made: Histories) -> None:
    removed(made, REPORT)
    apply(view, ManifestProjection(), made.recorded)
    document = view.document(REPORT)
    assert document is not None
    assert (document.version, document.chunk_count, document.title) == (1, 0, None)
    assert (document.finding, document.completed_at, document.answer_kind) == (None, None, "DocumentRemoved")


def test_an_unknown_document_is_none(view: ManifestView) -> None:
    assert view.document(REPORT) is None
    assert view.history(document_id_of(REPORT)) == []


def test_documents_come_by_uri_in_pages(view: ManifestView, made: Histories) -> None:
    for name in ("b", "a", "d", "c"):
        made.ingested(f"folder:docs/{name}.md")
    made.ingested("folder:docs-old/a.md")
    made.ingested("folder:docs/100%_ä.md")
    apply(view, ManifestProjection(), made.recorded)

    def uris(prefix: str | None = None, *, limit: int = 9, after: str | None = None) -> list[str]:
        return [d.uri for d in view.documents(uri_prefix=prefix, limit=limit, after=after)]

    assert uris("folder:docs/") == [f"folder:docs/{name}.md" for name in ("100%_ä", "a", "b", "c", "d")]
    assert uris("folder:docs/100%_") == ["folder:docs/100%_ä.md"]
    assert uris("FOLDER:") == []
    assert uris(limit=2) == ["folder:docs-old/a.md", "folder:docs/100%_ä.md"]
    assert uris("folder:docs/", limit=2, after="folder:docs/a.md") == ["folder:docs/b.md", "folder:docs/c.md"]


def test_a_history_tells_every_event_in_a_line(view: ManifestView, made: Histories) -> None:
    request = made.queued(REPORT)
    made.started(request)
    made.released(request)
    made.started(request)
    made.failed(request, is_final=False, error_code="timeout")
    made.started(request)
    made.completed(request)
    reindex = made.queued(REPORT, action=Action.REINDEX)
    made.vectors_added(reindex)
    made.cancelled(made.queued(REPORT))
    made.skipped(made.queued(REPORT))
    made.removed(made.queued(REPORT, action=Action.REMOVE))
    apply(view, ManifestProjection(), made.recorded)
    history = view.history(document_id_of(REPORT))
    assert [(entry.sequence, entry.offset, entry.kind, entry.summary) for entry in history[:7]] == [
        (1, 0, "DocumentQueued", "INGEST AUTO, NORMAL"),
        (2, 1, "DocumentStarted", "attempt 1"),
        (3, 2, "DocumentReleased", "SHUTDOWN"),
        (4, 3, "DocumentStarted", "attempt 1"),
        (5, 4, "DocumentFailed", "PARSE TRANSIENT timeout, to be tried again: it is encrypted"),
        (6, 5, "DocumentStarted", "attempt 2"),
        (7, 6, "DocumentCompleted", "version 1, 2 chunks, 24 ms"),
    ]
    assert [(entry.kind, entry.summary) for entry in history[8::2]] == [
        ("VectorsAdded", "version 1, sentences"),
        ("DocumentCancelled", "the job was cancelled"),
        ("DocumentSkipped", "UNCHANGED"),
        ("DocumentRemoved", "version 1, REQUESTED"),
    ]
    assert [entry.version for entry in history] == [0] * 6 + [1] * (len(history) - 6)
    assert [entry.occurred_at for entry in history] == [r.event.meta.occurred_at for r in made.recorded]


def test_counts_are_of_one_position(view: ManifestView, made: Histories) -> None:
    made.ingested("folder:docs/1.md")
    failed_update(made, "folder:docs/2.md")
    removed(made, "folder:docs/3.md")
    made.queued("folder:docs/4.md")
    apply(view, ManifestProjection(), made.recorded)
    counts = view.counts()
    assert counts.documents == {
        DocumentStatus.LIVE: 1,
        DocumentStatus.FAILED: 1,
        DocumentStatus.REMOVED: 1,
        DocumentStatus.QUEUED: 1,
    }
    assert (counts.live_documents, counts.live_chunks, counts.open_requests) == (2, 4, 1)
    assert counts.position == made.position


def test_an_empty_manifest_counts_nothing(view: ManifestView) -> None:
    counts = view.counts()
    assert (counts.documents, counts.live_documents, counts.live_chunks, counts.open_requests) == ({}, 0, 0, 0)


def test_dead_letters_are_last_answers_that_failed_for_good(view: ManifestView, made: Histories) -> None:
    failed_update(made, "folder:docs/1.md")
    healed(made, "folder:docs/2.md")
    waiting = made.queued("folder:docs/3.md")
    made.started(waiting)
    made.failed(waiting, is_final=False)
    failed(made, "folder:docs/4.md")
    apply(view, ManifestProjection(), made.recorded)
    first, second = view.dead_letters(limit=9)
    assert (first.uri, first.is_live, second.uri, second.is_live) == (
        "folder:docs/1.md",
        True,
        "folder:docs/4.md",
        False,
    )
    state = made.state("folder:docs/1.md")
    assert state.failed_request is not None
    assert first.failure.request_id == state.failed_request.request_id
    assert (first.failure.stage, first.failure.error_class, first.failure.error_code) == (
        "PARSE",
        "PERMANENT",
        "encrypted_pdf",
    )
    assert (first.failure.message, first.failure.hint, first.failure.attempt) == ("it is encrypted", "decrypt it", 1)
    assert [letter.uri for letter in view.dead_letters(limit=1, after=first.uri)] == [second.uri]
