from __future__ import annotations

import time
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.stages.chunk import WINDOW_CHUNKS, chunk
from streams.stages.fingerprints import StageSettings
from tests.samples import hostile

SMALL = StageSettings(chunk_size=40, chunk_overlap=10)

texts = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["\n", "\n\n", " ", "\f", "word ", "Ein Satz. ", "中文。", "👩‍👩‍👧 ", "e\u0301", "x" * 300]),
    ),
    max_size=60,
).map("".join)


@given(texts)
def test_a_chunk_is_exactly_its_slice(text: str) -> None:
    chunks = chunk(text, SMALL)
    for ordinal, piece in enumerate(chunks):
        assert piece.ordinal == ordinal
        assert text[piece.start : piece.end] == piece.text
        assert 0 < piece.end - piece.start <= SMALL.chunk_size
        assert not piece.text.isspace()
        assert piece.text_hash == sha256(piece.text.encode()).hexdigest()


@given(texts)
def test_chunks_come_in_order_and_leave_out_nothing_but_white_space(text: str) -> None:
    covered = 0
    last_start = -1
    for piece in chunk(text, SMALL):
        assert piece.start > last_start
        assert not text[covered : piece.start].strip()
        covered, last_start = max(covered, piece.end), piece.start
    assert not text[covered:].strip()


def test_white_space_makes_no_chunks() -> None:
    for text in ("", " \n\t ", "\n" * 100_000, "\f\n\n\f"):
        assert chunk(text, StageSettings()) == []


def test_neighbours_overlap_no_more_than_they_may() -> None:
    chunks = chunk("One short sentence after the other. " * 200, StageSettings(chunk_size=200, chunk_overlap=50))
    overlaps = [before.end - after.start for before, after in pairwise(chunks)]
    assert max(overlaps) <= 50
    assert sum(overlap > 0 for overlap in overlaps) > len(overlaps) * 0.9


def test_a_chunk_is_on_the_page_it_begins_on() -> None:
    text = "first page\f\n\nsecond page\f\n\n\f\n\nfourth page\f"
    pages = {piece.text: piece.page for piece in chunk(text, StageSettings(chunk_size=15, chunk_overlap=0))}
    assert pages == {"first page": 1, "second page": 2, "fourth page": 4}


def test_a_text_without_page_ends_has_no_pages() -> None:
    assert [piece.page for piece in chunk("no pages here", StageSettings())] == [None]


def test_paragraphs_stay_whole_where_they_fit() -> None:
    paragraphs = [f"Paragraph {number} has a few words of its own." for number in range(400)]
    chunks = chunk("\n\n".join(paragraphs), StageSettings(chunk_size=200, chunk_overlap=0))
    assert len(chunks) > WINDOW_CHUNKS * 4
    for piece in chunks:
        assert set(piece.text.split("\n\n")) <= set(paragraphs)


@pytest.mark.parametrize("line", [hostile.single_line(8 * hostile.MIB).decode(), "x" * hostile.MIB])
def test_time_grows_with_the_text_and_not_with_its_square(line: str) -> None:
    started = time.monotonic()
    chunks = chunk(line, StageSettings())
    assert len(chunks) > len(line) // 1_000
    assert time.monotonic() - started < 20  # the splitter alone takes minutes for either
