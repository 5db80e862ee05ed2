"""Where the words of a query stand in a text."""

from __future__ import annotations

import pytest

from projections.search.highlight import highlights


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Whales sing; a whale sang.", "whales", ["Whales"]),
        ("the back-pressure of a pump", "back pressure", ["back", "pressure"]),
        ("snake_case_name", "case", ["case"]),
        ("Ærø, Crème brûlée", "aero CREME", ["Ærø", "Crème"]),
        ("cre\u0300me bru\u0302le\u0301e", "creme", ["cre\u0300me"]),
        ('he said "good night" twice', '"good night"', ["good", "night"]),
        ("中文搜索", "搜索", ["搜索"]),
        ("Straße", "strasse", ["Straße"]),
        ("nothing of it", "elsewhere", []),
        ("", "whales", []),
        ("whales", "", []),
    ],
)
def test_the_words_of_a_query_are_found_as_they_are_written(text: str, query: str, expected: list[str]) -> None:
    assert [text[span.start : span.end] for span in highlights(text, query)] == expected
