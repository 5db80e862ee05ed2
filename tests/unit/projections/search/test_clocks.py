"""Searches whose clock is not the writer's, and writers whose clocks are not each other's, or step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.index.books.tables import MOMENTS, SERVED
from projections.search.visible_hits import VisibleHits, visible_hits
from projections.sql.values import micros_of
from schemas.ids import document_id_of
from tests.servers.index_backends import open_store_of
from tests.worlds.index import BOOKS, Index, World, projection_of

REPORT = "folder:docs/report.md"
STEPS_S = [0.0, 0.5, 3_600.0, -5.0, -3_600.0]
"""What the clock of who writes does before the next switch: another machine's goes before or behind."""


@pytest.fixture(params=BOOKS)
def world(request: pytest.FixtureRequest) -> World:
    return World(books=request.param)


@pytest.fixture
def index(world: World, tmp_path: Path) -> Iterator[Index]:
    index = Index(world, tmp_path, projection_of("keyword"), open_store_of("tantivy"))
    index.view.open()
    yield index
    index.close()


def write(index: Index, words: str, *, step_s: float = 0.0) -> None:
    index.world.clock.pass_time(step_s)
    index.world.complete(REPORT, [words])
    index.catch_up()


def found(index: Index, words: str, *, meanwhile: list[tuple[str, float]] | None = None) -> VisibleHits:
    """What a search shows; `meanwhile` are versions that replace each other after its hits were found, once."""
    upcoming = list(meanwhile or [])

    def ask(backend: object, count: int) -> object:
        hits = backend.search(words, limit=count)  # type: ignore[attr-defined]
        while upcoming:
            version, step_s = upcoming.pop(0)
            write(index, version, step_s=step_s)
        return hits

    return visible_hits(index.view, ask, wanted=5)  # type: ignore[arg-type]


def versions(visible: VisibleHits) -> list[int]:
    return [hit.version for hit in visible.hits]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_what_was_served_when_a_query_began_is_shown_whatever_the_writers_clock_says(
    index: Index, step_s: float
) -> None:
    write(index, "whales sing")
    assert versions(found(index, "whales", meanwhile=[("dolphins click", step_s)])) == [1]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_what_was_superseded_before_a_query_began_is_hidden_whatever_the_writers_clock_says(
    index: Index, step_s: float
) -> None:
    write(index, "whales sing")
    write(index, "dolphins click", step_s=step_s)
    assert len(index.entries()) == 2  # it is still there to be found
    assert versions(found(index, "whales")) == []
    index.world.clock.pass_time(-2 * step_s)
    assert versions(found(index, "whales")) == []
    assert versions(found(index, "dolphins")) == [2]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_what_was_superseded_before_a_query_and_again_during_it_is_hidden(index: Index, step_s: float) -> None:
    write(index, "whales sing")
    write(index, "dolphins click", step_s=-step_s)
    assert versions(found(index, "whales", meanwhile=[("seals bark", step_s)])) == []
    assert versions(found(index, "seals")) == [3]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_moments_only_grow(index: Index, step_s: float) -> None:
    moments = [0]
    for number in range(4):
        write(index, f"edition {number}", step_s=step_s)
        with index.view.paused() as opened:
            moments.append(opened.books.moment())
        served = index.view.served([document_id_of(REPORT)])[document_id_of(REPORT)]
        assert served.switched_at_us == moments[-1]
    assert moments == sorted(set(moments))


def test_garbage_is_as_old_as_the_clock_says_although_moments_run_ahead_of_it(index: Index) -> None:
    """A machine whose clock went ahead must not keep what comes after it from being deleted."""
    write(index, "whales sing", step_s=3_600)
    write(index, "dolphins click", step_s=-3_600)
    assert index.collect_all() == 1
    assert versions(found(index, "dolphins")) == [2]


def test_an_index_that_an_earlier_release_wrote_has_its_latest_moment(
    world: World, index: Index, tmp_path: Path
) -> None:
    """It kept moments in its rows only, by the clock of its own machine, which may have gone far ahead."""
    write(index, "whales sing", step_s=3_600)
    write(index, "dolphins click")
    index.close()
    world.clock.pass_time(-3_600)
    engine = BOOKS[world.books](tmp_path)
    MOMENTS.drop(engine)
    engine.dispose()

    again = Index(world, tmp_path, projection_of("keyword"), open_store_of("tantivy"))
    again.view.open()
    with again.view.paused() as opened:
        before = opened.books.moment()
    assert before == again.view.served([document_id_of(REPORT)])[document_id_of(REPORT)].switched_at_us
    assert before > micros_of(world.clock())
    assert versions(found(again, "whales")) == []
    write(again, "seals bark")
    with again.view.paused() as opened:
        assert opened.books.moment() > before
    again.close()


def test_who_only_reads_an_index_of_an_earlier_release_finds_its_latest_moment(
    world: World, index: Index, tmp_path: Path
) -> None:
    """A client of this release beside a projector of the last one."""
    write(index, "whales sing")
    engine = BOOKS[world.books](tmp_path)
    with engine.begin() as connection:
        connection.execute(MOMENTS.delete())
        connection.execute(SERVED.update().values(switched_at_us=SERVED.c.switched_at_us + 5))
    engine.dispose()
    served = index.view.served([document_id_of(REPORT)])[document_id_of(REPORT)]
    with index.view.searching() as opened:
        assert opened.books.moment() == served.switched_at_us
