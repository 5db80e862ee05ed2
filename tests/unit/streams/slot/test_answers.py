"""What the events that answer requests say."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from schemas.events import DocumentCompleted, DocumentQueued
from streams.documents.state import DocumentState
from streams.slot.answers import DocumentEventWriter
from streams.slot.retry import RetryPolicy
from tests.samples.histories import Histories
from tests.worlds.outcomes import PRODUCED

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A_MD = "file:///docs/sub/a.md"
WRITER = DocumentEventWriter(pipeline_id="run-1", retries=RetryPolicy(), generator=random.Random(7))

ROOTS: Mapping[str, tuple[str | None, str | None, str | None]] = {
    "new": (None, "file:///docs/", "file:///docs/"),
    "a file of a folder": ("file:///docs/", A_MD, "file:///docs/"),
    "the folder of a file": (A_MD, "file:///docs/", "file:///docs/"),
    "a folder in a folder": ("file:///docs/", "file:///docs/sub/", "file:///docs/"),
    "a pattern of a folder": ("file:///docs/", "file:///docs/**/*.md", "file:///docs/"),
    "the folder of a pattern": ("file:///docs/sub/*.md", "file:///docs/", "file:///docs/"),
    "led to by a link, then where it lies": ("file:///links/", "file:///docs/", "file:///links/"),
    "where it lies, then led to by a link": ("file:///docs/", "file:///links/*.md", "file:///links/*.md"),
    "asked for by somebody without a source": ("file:///docs/", None, "file:///docs/"),
    "nobody's": (None, None, None),
}


@pytest.mark.parametrize("case", ROOTS)
def test_a_new_version_keeps_the_root_that_says_most(case: str) -> None:
    before, asked, after = ROOTS[case]
    made = Histories()
    if before is not None:
        made.completed(_started(made, before))
    request = made.queued(A_MD, source_root=asked)
    made.started(request)
    state: DocumentState = made.state(A_MD)
    answer = WRITER.outcome(state, state.requests[0], NOON, outcome=PRODUCED, duration_ms=1)
    assert isinstance(answer, DocumentCompleted)
    assert answer.source_root == after


def _started(made: Histories, root: str) -> DocumentQueued:
    request = made.queued(A_MD, source_root=root)
    made.started(request)
    return request
