"""Search over both indexes, while documents change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from projections.index.backend import Filters, ScoredChunk
from projections.search.search import Search, SearchMode
from schemas.errors import TransientError, UsageError
from schemas.ids import document_id_of
from streams.artifacts import ArtifactMissing
from tests.servers.index_backends import open_store_of
from tests.worlds.index import LONGEST_QUERY_S, Index, World, projection_of, texts_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=[("flat", "memory"), ("qdrant_edge", "tantivy")], ids="-".join)
def indexes(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[list[Index]]:
    indexes = [
        Index(world, tmp_path, projection_of(index), open_store_of(backend))
        for index, backend in zip(("vector", "keyword"), request.param, strict=True)
    ]
    for index in indexes:
        index.view.open()
    yield indexes
    for index in indexes:
        index.close()


@pytest.fixture
def search(world: World, indexes: list[Index]) -> Search:
    vector, keyword = (index.view for index in indexes)
    return Search(
        vector=vector,  # type: ignore[arg-type]  # the helper knows it as an index of any kind
        keyword=keyword,  # type: ignore[arg-type]
        embedder=lambda: world.embedder,
        artifacts=world.artifacts,
        monotonic=lambda: world.clock().timestamp(),
    )


def catch_up(indexes: Sequence[Index]) -> None:
    for index in indexes:
        index.catch_up()


def test_a_hit_says_where_it_stands_and_what_each_index_made_of_it(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["the weather was fine", "whales sing at night", "nothing else"])
    world.complete(LETTER, ["dear sir", "yours truly"])
    catch_up(indexes)

    answer = search.search("whales at night", limit=1)

    (hit,) = answer.hits
    assert (hit.document_id, hit.version, hit.ordinal) == (document_id_of(REPORT), 1, 1)
    assert (hit.uri, hit.title, hit.page) == (REPORT, "report.md", 1)
    assert (hit.text, hit.start, hit.end) == ("whales sing at night", 20, 40)
    assert {name: part.rank for name, part in hit.parts.items()} == {"vector": 1, "keyword": 1}
    assert hit.score == pytest.approx(2 / 61)
    assert answer.mode is SearchMode.HYBRID
    assert answer.took_ms > 0
    assert answer.positions == {"vector": indexes[0].view.position(), "keyword": indexes[1].view.position()}


@pytest.mark.parametrize("mode", [SearchMode.VECTOR, SearchMode.KEYWORD])
def test_a_single_index_answers_alone_with_its_own_scores(
    world: World, indexes: list[Index], search: Search, mode: SearchMode
) -> None:
    world.complete(REPORT, ["whales sing at night"])
    catch_up(indexes)

    answer = search.search("whales", mode=mode)

    assert answer.positions.keys() == {mode.value}
    assert answer.hits[0].parts.keys() == {mode.value}
    assert answer.hits[0].score == answer.hits[0].parts[mode.value].score


def test_a_keyword_search_needs_no_embedder(world: World, indexes: list[Index]) -> None:
    def no_embedder() -> None:
        raise AssertionError("loaded in vain")

    world.complete(REPORT, ["whales sing at night"])
    catch_up(indexes)
    search = Search(
        vector=indexes[0].view,  # type: ignore[arg-type]
        keyword=indexes[1].view,  # type: ignore[arg-type]
        embedder=no_embedder,  # type: ignore[arg-type]
        artifacts=world.artifacts,
        monotonic=lambda: world.clock().timestamp(),
    )

    assert len(search.search("whales", mode=SearchMode.KEYWORD).hits) == 1


def test_the_limit_is_filled_although_most_of_what_is_found_is_garbage(
    world: World, indexes: list[Index], search: Search
) -> None:
    for version in range(1, 5):
        for number in range(50):
            world.complete(f"folder:docs/{number}.md", [f"whales {number} {version}"] * 2)
        catch_up(indexes)

    answer = search.search("whales", limit=90)

    assert len(answer.hits) == 90
    assert {hit.version for hit in answer.hits} == {4}


def test_filters_leave_out_what_does_not_match(world: World, indexes: list[Index], search: Search) -> None:
    world.complete(REPORT, ["whales sing"], metadata={"author": "ada"})
    world.complete(LETTER, ["whales sing"], metadata={"author": "bob"})
    catch_up(indexes)

    answer = search.search("whales", filters=Filters(metadata={"author": "ada"}))

    assert {hit.uri for hit in answer.hits} == {REPORT}


def test_where_one_index_is_behind_the_newer_version_is_shown(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)
    world.complete(REPORT, ["whales sing at dusk"])
    indexes[1].catch_up()

    answer = search.search("whales sing at")

    assert [(hit.version, hit.text) for hit in answer.hits] == [(2, "whales sing at dusk")]
    assert answer.positions["keyword"] != answer.positions["vector"]


def test_an_index_that_is_behind_still_answers_with_the_text_it_knows(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)
    world.remove(REPORT)
    indexes[1].catch_up()

    assert [hit.text for hit in search.search("whales").hits] == ["whales sing at dawn"]


def test_a_version_that_is_superseded_while_it_is_found_is_shown_with_its_own_text(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)

    def switch() -> None:
        world.complete(REPORT, ["whales sing at dusk"])
        catch_up(indexes)

    _after_finding(indexes[1], [switch])
    answer = search.search("whales", mode=SearchMode.KEYWORD)

    assert [(hit.version, hit.text) for hit in answer.hits] == [(1, "whales sing at dawn")]
    assert [hit.version for hit in search.search("whales", mode=SearchMode.KEYWORD).hits] == [2]


def test_a_query_during_which_a_document_switches_twice_runs_again(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)

    def switch_twice() -> None:
        for words in ("whales sing at noon", "whales sing at dusk"):
            world.complete(REPORT, [words])
            catch_up(indexes)

    _after_finding(indexes[1], [switch_twice])

    assert [hit.text for hit in search.search("whales", mode=SearchMode.KEYWORD).hits] == ["whales sing at dusk"]


def test_a_query_that_takes_longer_than_garbage_is_kept_runs_again(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)
    runs: list[int] = []

    def dawdle() -> None:
        runs.append(1)
        world.clock.pass_time(LONGEST_QUERY_S + 1)

    _after_finding(indexes[1], [dawdle, lambda: runs.append(2)])

    assert len(search.search("whales", mode=SearchMode.KEYWORD).hits) == 1
    assert runs == [1, 2]


def test_a_query_that_never_gets_ahead_of_the_changes_ends_as_transient(
    world: World, indexes: list[Index], search: Search
) -> None:
    world.complete(REPORT, ["whales sing at dawn"])
    catch_up(indexes)
    _after_finding(indexes[1], [lambda: world.clock.pass_time(LONGEST_QUERY_S + 1)] * 100)

    with pytest.raises(TransientError):
        search.search("whales", mode=SearchMode.KEYWORD)


def test_a_document_whose_texts_are_lost_is_named_and_the_others_are_shown(
    world: World, indexes: list[Index], search: Search
) -> None:
    stored = world.store(["whales sing at dawn", "whales sing at noon"])
    world.complete(REPORT, [], stored=stored)
    world.complete(LETTER, ["whales sing at dawn, and the letter goes on about other things", "whales rest"])
    catch_up(indexes)
    world.artifacts.delete([stored.chunks])

    answer = search.search("whales sing at dawn", limit=2)

    assert [hit.uri for hit in answer.hits] == [LETTER, LETTER]
    (unreadable,) = answer.unreadable.values()
    assert list(answer.unreadable) == [document_id_of(REPORT)]
    assert unreadable.uri == REPORT
    assert isinstance(unreadable.error, ArtifactMissing)
    assert unreadable.error.hint


def test_what_was_found_and_cannot_be_read_is_an_error_where_nothing_else_was_found(
    world: World, indexes: list[Index], search: Search
) -> None:
    stored = world.store(["whales sing at dawn"])
    world.complete(REPORT, [], stored=stored)
    catch_up(indexes)
    world.artifacts.delete([stored.chunks])

    with pytest.raises(ArtifactMissing):
        search.search("whales")


@pytest.mark.parametrize(("query", "limit"), [("   ", 10), ("whales", 0)])
def test_a_search_for_nothing_is_refused(search: Search, query: str, limit: int) -> None:
    with pytest.raises(UsageError) as caught:
        search.search(query, limit=limit)
    assert caught.value.hint


def test_texts_of_a_document_are_found_by_its_name(world: World, indexes: list[Index], search: Search) -> None:
    for number in range(30):
        uri = f"folder:docs/name{number}"
        world.complete(uri, texts_of(uri, 1, 3))
    catch_up(indexes)

    assert search.search("name17").hits[0].uri == "folder:docs/name17"


def _after_finding(index: Index, happenings: list[Callable[[], object]]) -> None:
    """After each search in the backend, before its hits are judged, the next of `happenings` comes to pass."""
    upcoming = iter(happenings)
    with index.view.paused() as opened:
        find = opened.backend.search  # type: ignore[attr-defined]

        def find_and_happen(*args: object, **settings: object) -> Sequence[ScoredChunk]:
            found: Sequence[ScoredChunk] = find(*args, **settings)
            next(upcoming, lambda: None)()
            return found

        opened.backend.search = find_and_happen  # type: ignore[attr-defined]
