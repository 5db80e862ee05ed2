"""Reciprocal rank fusion."""

from __future__ import annotations

import pytest

from projections.index.backend import ScoredChunk
from projections.search.fusion import Part, fuse
from schemas.ids import chunk_id_of, document_id_of


def hit(name: str, *, version: int = 1, ordinal: int = 0, score: float = 1.0) -> ScoredChunk:
    document_id = document_id_of(name)
    return ScoredChunk(chunk_id_of(document_id, version, ordinal), document_id, version, ordinal, score)


def test_a_chunk_that_both_indexes_rank_second_beats_what_one_of_them_ranks_first() -> None:
    fused = fuse(
        {
            "vector": [hit("only near"), hit("both", score=0.7)],
            "keyword": [hit("only wordy"), hit("both", score=4.0)],
        }
    )

    assert fused[0].document_id == document_id_of("both")
    assert fused[0].parts == {"vector": Part(2, 0.7), "keyword": Part(2, 4.0)}
    assert fused[0].score == pytest.approx(2 / 62)
    assert [chunk.score for chunk in fused[1:]] == [pytest.approx(1 / 61)] * 2


def test_scores_of_a_single_index_stay_as_they_are() -> None:
    fused = fuse({"keyword": [hit("first", score=7.5), hit("second", score=2.5)]})

    assert [(chunk.document_id, chunk.score) for chunk in fused] == [
        (document_id_of("first"), 7.5),
        (document_id_of("second"), 2.5),
    ]


def test_where_the_indexes_hold_different_versions_the_newer_one_stays_and_ranks_close_up() -> None:
    fused = fuse(
        {
            "vector": [hit("moving", version=2, ordinal=4)],
            "keyword": [hit("moving", version=1, ordinal=3), hit("still")],
        }
    )

    assert {(chunk.document_id, chunk.version) for chunk in fused} == {
        (document_id_of("moving"), 2),
        (document_id_of("still"), 1),
    }
    assert next(chunk for chunk in fused if chunk.version == 1).parts["keyword"].rank == 1


def test_equal_scores_come_in_the_same_order_whichever_index_is_asked_first() -> None:
    one, other = [hit("a"), hit("b")], [hit("b"), hit("a")]

    assert [c.chunk_id for c in fuse({"x": one, "y": other})] == [c.chunk_id for c in fuse({"y": other, "x": one})]


def test_nothing_fused_is_nothing() -> None:
    assert fuse({"vector": [], "keyword": []}) == []
