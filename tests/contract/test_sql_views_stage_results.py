"""Which stage results are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.stage_results.view import StageResultsProjection, StageResultsView
from schemas.events import Stage
from streams.stages.results import StageKey
from tests.samples.histories import Histories, artifact, sha256_of
from tests.servers.sql_views import DATABASES, apply

PARSE = StageKey(Stage.PARSE, sha256_of("a report"), "parse-1")
CHUNK = StageKey(Stage.CHUNK, sha256_of("text of a report"), "chunk-1")


@pytest.fixture(params=DATABASES)
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StageResultsView]:
    opened = StageResultsView(DATABASES[request.param](tmp_path), log_id="log-a")
    yield opened
    opened.close()


def test_the_outputs_of_a_completed_version_are_known(view: StageResultsView) -> None:
    made = Histories()
    made.ingested(text="a report")
    apply(view, StageResultsProjection(), made.recorded)
    known = view.known([PARSE, CHUNK])
    assert known[PARSE].output == artifact("text of a report")
    assert known[PARSE].counts == {"characters": 8}
    assert known[CHUNK].output == artifact("chunks of a report")


@pytest.mark.parametrize(
    "unknown",
    [
        StageKey(Stage.PARSE, sha256_of("another report"), "parse-1"),
        StageKey(Stage.PARSE, sha256_of("a report"), "parse-2"),
        StageKey(Stage.CHUNK, sha256_of("a report"), "parse-1"),
        StageKey(Stage.FETCH, sha256_of("a report"), "fetch-1"),  # it keeps no output
    ],
)
def test_another_input_stage_or_fingerprint_is_unknown(view: StageResultsView, unknown: StageKey) -> None:
    made = Histories()
    made.ingested(text="a report")
    apply(view, StageResultsProjection(), made.recorded)
    assert view.known([unknown]) == {}
    assert set(view.known([unknown, PARSE])) == {PARSE}


def test_references_count_the_versions_that_rest_on_a_result(view: StageResultsView) -> None:
    made = Histories()
    made.ingested("folder:docs/1.md", text="a report")
    made.ingested("folder:docs/2.md", text="a report")
    apply(view, StageResultsProjection(), made.recorded, cuts=[3])
    made_later = len(made.recorded)
    made.ingested("folder:docs/1.md", text="a report")
    made.ingested("folder:docs/3.md", text="something else")
    apply(view, StageResultsProjection(), made.recorded[made_later:])
    assert {entry.key: entry.reference_count for entry in view.scan() if entry.key in {PARSE, CHUNK}} == {
        PARSE: 3,
        CHUNK: 3,
    }
    assert len(list(view.scan())) == 4


def test_what_a_failed_attempt_had_done_is_known_and_not_referred_to(view: StageResultsView) -> None:
    made = Histories()
    request = made.queued()
    made.started(request)
    made.failed(request, is_final=False, stages_done=2, text="a report")
    apply(view, StageResultsProjection(), made.recorded)
    assert set(view.known([PARSE, CHUNK])) == {PARSE}
    (entry,) = view.scan()
    assert (entry.key, entry.reference_count) == (PARSE, 0)


def test_nothing_is_known_of_nothing(view: StageResultsView) -> None:
    assert view.known([]) == {}
