"""Where the words of a query stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from projections.index.words import parse_query, words

_PIECE = re.compile("(?:[^\\W_]|[\u00ad\u0300-\u036f\u200b-\u200f\u2060\ufeff])+")
"""A run of letters and digits, with the marks and invisible characters that stand inside words."""


class Span(NamedTuple):
    """Characters from `start` to before `end`."""

    start: int
    end: int


def highlights(text: str, query: str) -> list[Span]:
    """The spans of `text` that hold a word of `query`, in order; spans that touch are one."""
    parsed = parse_query(query)
    wanted = {*parsed.words, *(word for phrase in parsed.phrases for word in phrase)}
    spans: list[Span] = []
    for span in _found(text, wanted):
        if spans and spans[-1].end == span.start:
            spans[-1] = Span(spans[-1].start, span.end)
        else:
            spans.append(span)
    return spans


def _found(text: str, wanted: set[str]) -> Iterator[Span]:
    for piece in _PIECE.finditer(text):
        folded = words(piece[0])
        if len(folded) == 1 and folded[0] in wanted:
            yield Span(piece.start(), piece.end())
        elif len(folded) > 1:  # scripts without spaces: a word is a character
            for at, character in enumerate(piece[0], start=piece.start()):
                if not wanted.isdisjoint(words(character)):
                    yield Span(at, at + 1)
