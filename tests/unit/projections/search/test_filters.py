"""Filters as they are written on a command line."""

from __future__ import annotations

import pytest

from projections.index.backend import Filters
from projections.search.filters import parse_filter, parse_filters
from schemas.errors import UsageError

JANUARY_2026_NS = 1_767_225_600 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uri=file:///srv/docs/*.md", Filters(uri_glob="file:///srv/docs/*.md")),
        ("uri^=file:///srv/[draft]/", Filters(uri_prefix="file:///srv/[draft]/")),
        ("source=folder:docs", Filters(source="folder:docs")),
        ("media_type=text/html", Filters(media_type="text/html")),
        ("media_type = text/html", Filters(media_type="text/html")),
        ("modified>=2026-01-01", Filters(modified_from_ns=JANUARY_2026_NS)),
        ("modified<2026-01-01T01:00:00+01:00", Filters(modified_to_ns=JANUARY_2026_NS)),
        ("metadata.author=Ada Lovelace", Filters(metadata={"author": "Ada Lovelace"})),
        ("metadata.a.b=x=y", Filters(metadata={"a.b": "x=y"})),
    ],
)
def test_a_filter_says_what_it_spells(text: str, expected: Filters) -> None:
    assert parse_filter(text) == expected


def test_filters_add_up() -> None:
    texts = ["media_type=text/html", "metadata.a=1", "metadata.b=2", "modified>=2026-01-01"]

    assert parse_filters(texts) == Filters(
        media_type="text/html", metadata={"a": "1", "b": "2"}, modified_from_ns=JANUARY_2026_NS
    )
    assert parse_filters([]) is None


@pytest.mark.parametrize(
    "text", ["", "uri", "colour=red", "uri>=x", "media_type=", "metadata=x", "modified=2026-01-01"]
)
def test_what_is_no_filter_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert "metadata.KEY=VALUE" in (caught.value.hint or "")


def test_a_date_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter("modified>=yesterday")
    assert "2026-01-31" in (caught.value.hint or "")


@pytest.mark.parametrize("texts", [["source=a", "source=b"], ["metadata.a=1", "metadata.a=2"]])
def test_a_filter_that_is_given_twice_is_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="another filter"):
        parse_filters(texts)
