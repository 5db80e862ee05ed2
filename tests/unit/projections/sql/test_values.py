"""What is kept in a column comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.sql.values import (
    json_of,
    list_json,
    list_of,
    mapping_json,
    mapping_of,
    micros_of,
    moment_of,
    optional_moment_of,
    optional_values_of,
    value_of,
)
from schemas.events import ArtifactRef, DocumentQueued, Finding, Priority, Stage, StageReport, VectorsRef
from streams.documents.state import DocumentState
from tests.samples.histories import Histories, histories


@settings(max_examples=30)
@given(histories(max_moves=12))
def test_any_state_comes_back_equal(made: Histories) -> None:
    for state in made.states.values():
        assert value_of(DocumentState, json_of(state)) == state


@given(st.text(), st.dictionaries(st.text(), st.text()), st.none() | st.integers(-(2**62), 2**62))
def test_any_text_number_and_mapping_comes_back(uri: str, validators: dict[str, str], size: int | None) -> None:
    finding = Finding(uri=uri, size_bytes=size, validators=validators)
    assert value_of(Finding, json_of(finding)) == finding
    assert mapping_of(mapping_json(validators)) == validators
    assert list_of(list_json([uri, ""])) == (uri, "")


def test_many_values_come_back_each_in_its_place() -> None:
    findings = [Finding(uri="a"), None, Finding(uri="b", size_bytes=3)]
    assert optional_values_of(Finding, [json_of(f) if f else None for f in findings]) == findings
    assert optional_values_of(Finding, []) == []


def test_values_keep_their_types() -> None:
    report = StageReport(
        stage=Stage.PARSE, output=ArtifactRef(sha256="ab", size_bytes=3), cached=True, counts={"pages": 2}
    )
    read = value_of(StageReport, json_of(report))
    assert read == report
    assert read.stage is Stage.PARSE
    assert read.cached is True


def test_sequences_come_back_as_tuples() -> None:
    made = Histories()
    completed = made.completed(started(made))
    listed = replace(
        completed, vectors=[VectorsRef(embedder="words", dim=4, ref=ArtifactRef(sha256="ab", size_bytes=3))]
    )
    assert value_of(type(completed), json_of(listed)).vectors == tuple(listed.vectors)


def started(made: Histories) -> DocumentQueued:
    request = made.queued()
    made.started(request)
    return request


def test_what_has_its_default_takes_no_room() -> None:
    assert json_of(Finding(uri="a")) == '{"uri":"a"}'


@dataclass(frozen=True)
class Unkeepable:
    numbers: Mapping[str, set[int]]
    others: set[int]


def test_a_type_that_cannot_be_kept_is_refused_when_it_is_first_used() -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        json_of(Unkeepable({}, set()))


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - given a zone
def test_any_moment_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert moment_of(micros_of(moment)) == moment
    assert optional_moment_of(micros_of(moment)) == moment


def test_a_moment_elsewhere_is_kept_as_utc() -> None:
    berlin = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert moment_of(micros_of(berlin)).isoformat() == "2026-03-01T12:00:00+00:00"


def test_none_stays_none() -> None:
    assert optional_moment_of(None) is None
    assert mapping_json(None) is None
    assert mapping_of(None) == {}
    assert list_of(None) == ()


def test_a_priority_is_a_priority_again() -> None:
    made = Histories()
    queued = made.queued(priority=Priority.CRITICAL)
    assert value_of(type(queued), json_of(queued)).priority is Priority.CRITICAL
