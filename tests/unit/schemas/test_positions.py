from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.positions import Position, TopicPartition

PARTITIONS = st.builds(TopicPartition, st.sampled_from(["documents", "requests", "jobs"]), st.integers(0, 12))
POSITIONS = st.dictionaries(PARTITIONS, st.integers(0, 2**63 - 1)).map(Position)


@given(POSITIONS)
def test_a_position_reads_back_from_its_string(position: Position) -> None:
    assert Position.parse(str(position)) == position
    assert hash(Position.parse(str(position))) == hash(position)


def test_the_string_is_sorted_and_leaves_out_what_was_not_read() -> None:
    position = Position(
        {TopicPartition("requests", 0): 15, TopicPartition("documents", 10): 3, TopicPartition("documents", 2): 12}
        | {TopicPartition("jobs", 0): 0}
    )
    assert str(position) == "documents:2=12,documents:10=3,requests:0=15"
    assert str(Position()) == ""


@pytest.mark.parametrize("text", ["documents", "documents:0", "documents:x=1", ":0=1", "documents:0=-1", "a:0=1;b:0=2"])
def test_what_is_no_position_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Position.parse(text)
    assert "documents:0=12" in (caught.value.hint or "")


@given(POSITIONS, POSITIONS)
def test_two_positions_joined_are_the_smallest_that_reaches_both(one: Position, other: Position) -> None:
    joined = one.joined(other)
    assert joined.reaches(one)
    assert joined.reaches(other)
    assert joined == other.joined(one)
    assert all(joined.offset(tp) in {one.offset(tp), other.offset(tp)} for tp in joined)


@given(POSITIONS, POSITIONS)
def test_positions_that_reach_each_other_are_equal(one: Position, other: Position) -> None:
    assert (one.reaches(other) and other.reaches(one)) == (one == other)


def test_a_position_does_not_reach_one_that_is_further_in_any_partition() -> None:
    here = Position.parse("documents:0=12,jobs:0=3")
    assert here.reaches(Position.parse("documents:0=12"))
    assert here.reaches(Position())
    assert not here.reaches(Position.parse("documents:0=13"))
    assert not here.reaches(Position.parse("requests:0=1"))


@given(POSITIONS)
def test_the_part_of_some_topics_is_reached_by_the_whole(position: Position) -> None:
    part = position.only(["documents"])
    assert {tp.topic for tp in part} <= {"documents"}
    assert position.reaches(part)
    assert all(part.offset(tp) == position.offset(tp) for tp in position if tp.topic == "documents")


def test_a_partition_that_was_not_read_stands_at_zero() -> None:
    assert Position().offset(TopicPartition("documents", 4)) == 0
