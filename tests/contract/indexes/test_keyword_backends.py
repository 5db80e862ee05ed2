"""What every keyword backend promises beyond what all index backends do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.index.backend import DocumentAttributes, Filters, KeywordBackend
from tests.servers.index_backends import INDEX_OF, Libraries, open_backend_of
from tests.worlds.index_chunks import chunk_of

KEYWORD_BACKENDS = sorted(name for name, index in INDEX_OF.items() if index == "keyword")
REFERENCE = "memory"
OTHERS = [name for name in KEYWORD_BACKENDS if name != REFERENCE]

TEXTS = {
    "fox": "The quick brown fox jumps over the lazy dog.",
    "dog": "The quick dog of the Fox family: brown, lazy.",
    "cafe": "Un CAFÉ crème, naïve Ærøskøbing, Straße.",
    "cafe-decomposed": "Un cafe\u0301 noir.",
    "tokyo": "東京タワーへようこそ",
    "russian": "Съешь ЕЩЁ этих мягких булок",
    "code": "def parse_query(text: str) -> Query:  # C++ & .NET, v3.14",
    "soft": "in\u00advisible zero\u200bwidth",
    "repeats": "row row row your boat",
    "nothing": "… — !!! \n\t",
    "empty": "",
    "controls": "null\x00byte unit\x1fseparator line\u2028separator",
}


def open_words(name: str, directory: Path) -> KeywordBackend:
    return cast(KeywordBackend, open_backend_of(name)(directory, "g1", create=True))


@pytest.fixture(params=KEYWORD_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(name: str, tmp_path: Path) -> Iterator[KeywordBackend]:
    opened = open_words(name, tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, KeywordBackend]]:
    def opens(name: str) -> KeywordBackend:
        backend = open_words(name, tmp_path_factory.mktemp(name))
        backend.upsert([chunk_of(f"folder:{called}", text=text) for called, text in TEXTS.items()])
        backend.flush()
        return backend

    opened = Libraries(opens)
    yield cast("dict[str, KeywordBackend]", opened)
    opened.close()


def found(backend: KeywordBackend, query: str, filters: Filters | None = None) -> set[str]:
    names = {chunk_of(f"folder:{called}").chunk_id: called for called in TEXTS}
    return {names[hit.chunk_id] for hit in backend.search(query, limit=100, filters=filters)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fox", {"fox", "dog"}),
        ("FOX jumps", {"fox", "dog"}),
        ("jumps boat", {"fox", "repeats"}),
        ("foxes", set()),
        ("qui", set()),
        ('"quick brown fox"', {"fox"}),
        ('"brown quick"', set()),
        ('"brown lazy"', {"dog"}),
        ('"the fox"', {"dog"}),
        ('"quick brown" boat', {"fox"}),
        ('"brown" "lazy dog"', {"fox"}),
        ('"row row"', {"repeats"}),
        ('"row row row row"', set()),
        ('"" fox', {"fox", "dog"}),
        ('"fox jumps', {"fox", "dog"}),
        ('jumps" over', {"fox"}),
        ("“quick brown”", {"fox"}),
        ("cafe", {"cafe", "cafe-decomposed"}),
        ("CAFE\u0301", {"cafe", "cafe-decomposed"}),
        ("naive aeroskobing", {"cafe"}),
        ("strasse STRASSE", {"cafe"}),
        ("STRASSE", {"cafe"}),
        ("京", {"tokyo"}),
        ('"東京"', {"tokyo"}),
        ('"京東"', set()),
        ("タワー", {"tokyo"}),
        ("ещё", {"russian"}),
        ("еще", set()),
        ("parse", {"code"}),
        ("parse_query", {"code"}),
        ('"parse_query(text"', {"code"}),
        ("c++", {"code"}),
        ("3.14", {"code"}),
        ("invisible", {"soft"}),
        ("zerowidth", {"soft"}),
        ("byte separator", {"controls"}),
        ("fox* f?x /fo.*/ fox~2 +dog -fox AND OR NOT", {"fox", "dog"}),
        ("text:fox uri:[a TO b] {!x} fox^2", {"fox", "dog", "code"}),
        ("fox\x00dog", {"fox", "dog"}),
        ("\udcfffox\ud800", {"fox", "dog"}),
    ],
)
def test_a_query_finds_what_holds_its_words(
    libraries: dict[str, KeywordBackend], name: str, query: str, expected: set[str]
) -> None:
    assert found(libraries[name], query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "…—!",
        '"',
        '""',
        '"""',
        '"…" …',
        "\x00",
        "*",
        "?",
        "\\",
        "'",
        "()",
        "[]{}",
        "+-&|!",
        ":",
        "^~",
        "\ud800",
    ],
)
def test_a_query_without_words_finds_nothing(libraries: dict[str, KeywordBackend], name: str, query: str) -> None:
    assert found(libraries[name], query) == set()


@pytest.mark.parametrize(
    "query",
    ["fox " * 2_500, "x" * 10_000 + " fox", '"' * 9_997 + "fox", " ".join(f"w{n}" for n in range(2_000)) + " fox"],
    ids=["one-word-often", "a-long-word", "quotes", "many-words"],
)
def test_a_query_of_ten_thousand_characters_is_answered(
    libraries: dict[str, KeywordBackend], name: str, query: str
) -> None:
    assert len(query) >= 10_000
    assert found(libraries[name], query) == {"fox", "dog"}


def test_a_long_phrase_is_found_and_one_that_differs_in_its_last_word_is_not(backend: KeywordBackend) -> None:
    text = " ".join(f"w{number % 50}" for number in range(1_500))
    backend.upsert([chunk_of("folder:long", text=text)])
    backend.flush()

    assert len(backend.search(f'"{text}"', limit=10)) == 1
    assert backend.search(f'"{text} and"', limit=10) == []


def test_a_word_may_be_as_long_as_a_chunk(backend: KeywordBackend) -> None:
    backend.upsert([chunk_of("folder:long", text="a" * 40_000 + " tail"), chunk_of("folder:short", text="aaa")])
    backend.flush()

    assert len(backend.search("a" * 40_000, limit=10)) == 1
    assert len(backend.search("tail", limit=10)) == 1


@pytest.mark.parametrize("name", OTHERS)
@given(query=st.text(max_size=60) | st.text(st.sampled_from('fox dog"“*?:()é東\u0301\x00'), max_size=40))
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_asked_every_backend_finds_the_same(
    libraries: dict[str, KeywordBackend], name: str, query: str
) -> None:
    assert found(libraries[name], query) == found(libraries[REFERENCE], query)


def test_rare_words_and_short_chunks_score_higher_and_filters_do_not_score(backend: KeywordBackend) -> None:
    rare = chunk_of("folder:rare", text="common rare")
    short = chunk_of("folder:short", text="common")
    long = chunk_of("folder:long", text="common " + "filler " * 30)
    backend.upsert([rare, short, long])
    backend.flush()

    unfiltered = backend.search("common rare", limit=10)
    filtered = backend.search("common rare", limit=10, filters=Filters(uri_prefix="folder:", media_type="text/plain"))

    assert [hit.chunk_id for hit in unfiltered] == [rare.chunk_id, short.chunk_id, long.chunk_id]
    assert unfiltered == filtered


def test_a_phrase_raises_the_score_of_words_beside_it(backend: KeywordBackend) -> None:
    both = chunk_of("folder:both", text="brown fox boat")
    phrase = chunk_of("folder:phrase", text="brown fox sail")
    backend.upsert([phrase, both])
    backend.flush()

    hits = backend.search('"brown fox" boat', limit=10)

    assert [hit.chunk_id for hit in hits] == [both.chunk_id, phrase.chunk_id]


@pytest.mark.parametrize("name", OTHERS)
def test_scores_are_bm25s_in_every_backend(name: str, tmp_path: Path) -> None:
    # Up to 40 words: beyond that Lucene and tantivy keep a text's length in one byte, coarsely.
    words = random.Random(7)
    vocabulary = [f"word{number}" for number in range(60)]
    chunks = [
        chunk_of("folder:a", ordinal, text=" ".join(words.choices(vocabulary, k=words.randint(1, 40))))
        for ordinal in range(300)
    ]
    backends = [open_words(which, tmp_path / which) for which in (REFERENCE, name)]
    for backend in backends:
        backend.upsert(chunks)
        backend.flush()

    for query in ("word1", "word2 word3 word4", '"word5 word6"', '"word7 word8" word9', "word10 absent"):
        reference, other = (backend.search(query, limit=1_000) for backend in backends)
        expected = {hit.chunk_id: hit.score for hit in reference}
        found = {hit.chunk_id: hit.score for hit in other}
        assert found == pytest.approx(expected, rel=1e-5), f"{query}: the docstring of KeywordBackend has the formula"
    for backend in backends:
        backend.close()


@pytest.mark.parametrize("name", OTHERS)
def test_long_texts_rank_nearly_the_same_in_every_backend(name: str, tmp_path: Path) -> None:
    words = random.Random(11)
    vocabulary = [f"word{number}" for number in range(400)]
    weights = [1 / (rank + 1) for rank in range(400)]
    chunks = [
        chunk_of("folder:a", ordinal, text=" ".join(words.choices(vocabulary, weights, k=words.randint(50, 250))))
        for ordinal in range(400)
    ]
    backends = [open_words(which, tmp_path / which) for which in (REFERENCE, name)]
    for backend in backends:
        backend.upsert(chunks)
        backend.flush()

    queries = [" ".join(words.choices(vocabulary, k=3)) for _ in range(40)]
    shared = [
        len(set.intersection(*({hit.chunk_id for hit in backend.search(query, limit=10)} for backend in backends)))
        for query in queries
    ]
    for backend in backends:
        backend.close()

    assert sum(shared) / len(shared) >= 9


def test_metadata_is_matched_as_a_whole_not_by_its_words(backend: KeywordBackend) -> None:
    attributes = DocumentAttributes(uri="folder:a", metadata={"author": "Ada Lovelace"})
    backend.upsert([chunk_of("folder:a", text="engine", attributes=attributes)])
    backend.flush()

    assert backend.search("engine", limit=1, filters=Filters(metadata={"author": "Ada Lovelace"}))
    assert not backend.search("engine", limit=1, filters=Filters(metadata={"author": "Ada"}))
    assert not backend.search("ada", limit=1)
