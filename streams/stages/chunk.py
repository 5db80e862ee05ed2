"""The chunk stage: text to chunks, each an exact slice of it.

One splitter serves all texts, Markdown too: headings and lists stand behind empty lines there as well, and
MarkdownSplitter took five times as long and gave a fifth more chunks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Final

from semantic_text_splitter import TextSplitter

from streams.stages.contents import Chunk
from streams.stages.fingerprints import StageSettings
from streams.stages.parse import PAGE_END

WINDOW_CHUNKS: Final = 8
"""The splitter takes time with the square of what it is given (4 MiB in one line: a minute), so it gets windows.

Windows of 8 chunks run at 90 MiB/s on documentation and 6 MiB/s on a line without a space; larger ones gain a third on
the former and lose as much on the latter.
"""


def chunk(text: str, settings: StageSettings) -> list[Chunk]:
    """The chunks of `text`, in order; white space alone makes none."""
    page_ends = _positions(text, PAGE_END)
    return [
        Chunk(
            ordinal=ordinal,
            start=start,
            end=start + len(part),
            page=bisect_right(page_ends, start) + 1 if page_ends else None,
            text=part,
            text_hash=sha256(part.encode()).hexdigest(),
        )
        for ordinal, (start, part) in enumerate(_split(text, settings.chunk_size, settings.chunk_overlap))
    ]


def _split(text: str, size: int, overlap: int) -> Iterator[tuple[int, str]]:
    """What the splitter makes of `text`, found in windows.

    A window's last chunk may be cut short by its end, so the next window begins where that chunk does: on real texts
    999 of 1,000 chunks are those of the text split as a whole.
    """
    splitter = _splitter(size, overlap)
    window_chars = size * WINDOW_CHUNKS
    start = 0
    while start < len(text):
        parts = splitter.chunk_indices(text[start : start + window_chars])
        is_last = start + window_chars >= len(text)
        next_start = start + window_chars
        if not is_last and len(parts) > 1:
            next_start = start + parts.pop()[0]
        for offset, part in parts:
            if not part.isspace():
                yield start + offset, part
        start = next_start


@lru_cache(maxsize=4)
def _splitter(size: int, overlap: int) -> TextSplitter:
    return TextSplitter(size, overlap=overlap)


def _positions(text: str, mark: str) -> list[int]:
    positions = []
    at = text.find(mark)
    while at >= 0:
        positions.append(at)
        at = text.find(mark, at + 1)
    return positions
