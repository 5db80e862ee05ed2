"""The best hits of a driver that orders equal scores as it likes and lets pass what a filter should keep out."""

from __future__ import annotations

from projections.backends.ranking import GROWTH, MAX_EQUALS, SPARE_HITS, best
from projections.index.backend import ScoredChunk
from schemas.ids import ChunkId, document_id_of


class Driver:
    """Finds chunks of the given scores, best first, equal ones in reverse order of their ids."""

    def __init__(self, scores: list[float]) -> None:
        ids = [f"{number:06}" for number in range(len(scores))]
        self.hits = [
            ScoredChunk(ChunkId(chunk_id), document_id_of("folder:a"), 1, 0, score)
            for score, chunk_id in sorted(zip(scores, ids, strict=True), reverse=True)
        ]
        self.asked: list[int] = []

    def fetch(self, wanted: int) -> list[ScoredChunk]:
        self.asked.append(wanted)
        return self.hits[:wanted]


def admit(hit: ScoredChunk) -> ScoredChunk | None:
    return hit


def admit_every_tenth(hit: ScoredChunk) -> ScoredChunk | None:
    return hit if int(hit.chunk_id) % 10 == 0 else None


def ids(hits: list[ScoredChunk]) -> list[int]:
    return [int(hit.chunk_id) for hit in hits]


def test_different_scores_are_asked_for_once() -> None:
    driver = Driver([float(number) for number in range(100)])

    assert ids(best(driver.fetch, admit, limit=3)) == [99, 98, 97]
    assert driver.asked == [3 + SPARE_HITS]


def test_equal_scores_come_by_id_however_many_the_driver_has_to_be_asked_for() -> None:
    driver = Driver([1.0] * 300 + [2.0])

    assert ids(best(driver.fetch, admit, limit=3)) == [300, 0, 1]
    assert driver.asked[-1] > 300


def test_more_is_asked_for_until_enough_pass_a_filter() -> None:
    driver = Driver([float(number) for number in range(1_000)])

    assert ids(best(driver.fetch, admit_every_tenth, limit=5)) == [990, 980, 970, 960, 950]
    assert driver.asked == [GROWTH**times * (5 + SPARE_HITS) for times in range(3)]


def test_what_there_is_is_all_that_can_pass() -> None:
    driver = Driver([float(number) for number in range(15)])

    assert ids(best(driver.fetch, admit_every_tenth, limit=5)) == [10, 0]


def test_a_corpus_of_copies_is_not_read_to_its_end() -> None:
    driver = Driver([1.0] * 50_000)

    assert len(best(driver.fetch, admit, limit=10)) == 10
    assert driver.asked[-1] < GROWTH * (10 + MAX_EQUALS)


def test_nothing_is_asked_for_when_nothing_is_wanted() -> None:
    driver = Driver([1.0])

    assert best(driver.fetch, admit, limit=0) == []
    assert driver.asked == []
