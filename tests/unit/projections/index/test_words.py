"""The words of texts and queries, and that what splits at spaces sees the same ones."""

from __future__ import annotations

import sysconfig
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.backends.tantivy.schema import split_at_spaces
from projections.index.words import Query, parse_query, spaced_words, words

SPLITTER = split_at_spaces()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World's 3.14 foo_bar", ["hello", "world", "s", "3", "14", "foo", "bar"]),
        ("ÉCOLE e\u0301cole naïve", ["ecole", "ecole", "naive"]),
        ("Ærø Łódź Đà Straße \ufb01ne", ["aero", "lodz", "da", "strasse", "fine"]),
        ("\u0130stanbul \u0131", ["istanbul", "i"]),
        ("x² ™ ℃ Ⅳ \uff26\uff55ll", ["x2", "tm", "c", "iv", "full"]),
        ("東京タワーへ 한국어", ["東", "京", "タワー", "へ", "한국어"]),
        ("ЁЖ Ёж йод", ["ёж", "ёж", "йод"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("in\u00advisible zero\u200bwidth e\u200b\u0301", ["invisible", "zerowidth", "e"]),
        ("a\u00b4b \u0301c “q”—d…", ["a", "b", "c", "q", "d"]),
        ("null\x00byte\x1funit\u2028line\x7fdel\u00a0space", ["null", "byte", "unit", "line", "del", "space"]),
        ("1\ufe0f\u20e3 \u2764\ufe0f go", ["1", "go"]),
        ("\ud800half\udfff", ["half"]),
        ("… — !!!", []),
        ("", []),
    ],
)
def test_a_text_has_these_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Foo foo BAR", Query(("foo", "bar"))),
        ('"foo bar" baz', Query(("baz",), (("foo", "bar"),))),
        ('"foo bar" "Foo, Bar!" "one"', Query((), (("foo", "bar"), ("one",)))),
        ('a "b c', Query(("a", "b", "c"))),
        ('a"b"c', Query(("a", "c"), (("b",),))),
        ("„unten oben“ “left right”", Query((), (("unten", "oben"), ("left", "right")))),
        ('""', Query(())),
        ('"…"', Query(())),
        ('"', Query(())),
    ],
)
def test_a_query_asks_for_words_and_quoted_phrases(text: str, expected: Query) -> None:
    assert parse_query(text) == expected
    assert parse_query(text).is_empty == (expected == Query(()))


MEETING = "aZ1 ß\u0130\u0131ﬁﬃ\u0301\u0327\u030c\u3099\u200b\u00adæǽøǿΣςJ東ーか°ﾞ\x00-_\u2019"
"""Characters whose folding meets others."""


def everything() -> st.SearchStrategy[str]:
    """Texts of all of Unicode."""
    return st.text(max_size=80) | st.text(MEETING, max_size=25)


def written() -> st.SearchStrategy[str]:
    """The same without marks that no script puts on the letters they follow: no order of marks is canonical then."""
    return st.text(st.characters(exclude_categories=["Mn", "Mc", "Me", "Cs"]), max_size=80) | st.text(
        MEETING, max_size=25
    )


@given(everything())
@settings(deadline=None, max_examples=300)
def test_what_splits_at_spaces_sees_the_same_words(text: str) -> None:
    assert SPLITTER.analyze(spaced_words(text)) == words(text)


@given(everything())
@settings(deadline=None, max_examples=300)
def test_words_are_letters_digits_and_marks_and_hold_no_ascii_capitals(text: str) -> None:
    for word in words(text):
        assert {unicodedata.category(character)[0] for character in word} <= set("LNM")
        assert not any("A" <= character <= "Z" for character in word)


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")))
def test_texts_apart_have_the_words_of_both(left: str, right: str) -> None:
    assert words(f"{left} {right}") == words(left) + words(right)


@given(everything(), everything())
@settings(deadline=None)
def test_a_word_is_the_same_whatever_stands_beside_it(left: str, right: str) -> None:
    assert words(f"{left} {right}")[: len(words(left))] == words(left)


@given(written())
@settings(deadline=None, max_examples=300)
def test_case_does_not_matter(text: str) -> None:
    assert words(text.casefold()) == words(text)


@given(written())
@settings(deadline=None, max_examples=300)
def test_how_a_text_is_composed_does_not_matter(text: str) -> None:
    assert words(unicodedata.normalize("NFC", text)) == words(unicodedata.normalize("NFD", text))


def test_ascii_and_beyond_are_folded_alike_in_real_texts() -> None:
    """The quick way for ASCII gives what the way for the rest of Unicode gives."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]:
        text = path.read_text(encoding="utf-8")
        ascii_text = text.encode("ascii", "replace").decode()
        assert words(f"{ascii_text} é") == [*words(ascii_text), "e"]
        assert SPLITTER.analyze(spaced_words(text)) == words(text)
