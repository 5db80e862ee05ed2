"""The parse stage: content to one text, by the parser of its media type, with what tells pages and title again.

An empty file is no failure: it is completed with an empty text and no chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final

from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import HTML, MARKDOWN, NOISE, OFFICE, PARSERS_BY_MEDIA_TYPE, PLAIN_TEXT

PAGE_END = "\f"
"""Ends each page in the text of a document that has pages, as pdftotext writes it; no other text holds one."""

TITLE_SEARCH_CHARS = 5_000
"""A title that does not stand this near the beginning of the text is put before it."""

MAX_TITLE_CHARS = 300
"""Longer titles are cut: they are a paragraph that somebody marked as title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A parser's output.

    Attributes:
        pages: The text, page by page; of a document without pages the whole text is the only entry.
        has_pages: Whether the document knows pages.
        title: The document's own title, or None.
        counts: What is worth keeping in the StageReport, such as ``replaced_characters``.
    """

    pages: Sequence[str]
    has_pages: bool = False
    title: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def assembled(parsed: Parsed, settings: StageSettings) -> tuple[str, dict[str, int]]:
    """The text of `parsed` and the counts that describe it.

    A title is a slice of the text (``title_start``, ``title_end``), put before it if it does not stand near its
    beginning, so that title words are found by search and a kept text tells its title.

    Raises:
        StageFailed: too many pages or too much text (too_large).
    """
    counts = dict(parsed.counts)
    if parsed.has_pages:
        counts["pages"] = len(parsed.pages)
        if len(parsed.pages) > settings.max_pages:
            raise StageFailed(
                "too_large", f"the document has {len(parsed.pages)} pages, more than {settings.max_pages}"
            )
        text = "\n\n".join(f"{_clean(page)}{PAGE_END}" for page in parsed.pages)
    else:
        text = "\n\n".join(_clean(page) for page in parsed.pages)
    title = " ".join((parsed.title or "").split())[:MAX_TITLE_CHARS].strip()
    if title:
        start = text.find(title, 0, TITLE_SEARCH_CHARS)
        if start < 0:
            text, start = f"{title}\n\n{text}", 0
        counts |= {"title_start": start, "title_end": start + len(title)}
    if len(text) > settings.max_text_chars:
        raise StageFailed(
            "too_large",
            f"the document's text has {len(text)} characters, more than text_chars ({settings.max_text_chars})",
        )
    counts["characters"] = len(text)
    return text, counts


def title_of(text: str, counts: Mapping[str, int]) -> str | None:
    """The title within `text` that `assembled` counted, or None."""
    end = counts.get("title_end", 0)
    return text[counts.get("title_start", 0) : end] if end else None


def _clean(page: str) -> str:
    if "\r" in page:
        page = page.replace("\r\n", "\n").replace("\r", "\n")
    if "\x00" in page:
        page = page.replace("\x00", "")
    return page.replace(PAGE_END, "\n") if PAGE_END in page else page


Parser = Callable[[bytes, str, StageSettings], Parsed]
"""Reads content of a media type; raises StageFailed with the code that says why it cannot."""

PARSERS: Final[Mapping[str, str]] = {
    PLAIN_TEXT: "streams.stages.parsers.plain_text:parse_plain_text",
    MARKDOWN: "streams.stages.parsers.plain_text:parse_markdown",
    HTML: "streams.stages.parsers.html:parse_html",
    OFFICE: "streams.stages.parsers.office:parse_office",
}
"""Where each parser stands; it is imported when the first document needs it."""

_IMAGES_HINT: Final = "; text in pictures is not read, since OCR is off"


def parse(
    content: bytes, media_type: str, settings: StageSettings, *, parsers: Mapping[str, str] = PARSERS
) -> tuple[str, dict[str, int]]:
    """The text of `content` and the counts that describe it (see `assembled`).

    Raises:
        StageFailed: binary_noise, unsupported_media_type, too_large, and whatever the parser says.
    """
    failure = missing_parser(media_type)
    if failure is not None:
        raise failure
    parser = _imported(parsers[PARSERS_BY_MEDIA_TYPE[media_type]])
    text, counts = assembled(parser(content, media_type, settings), settings)
    return text, {"bytes": len(content), **counts}


def missing_parser(media_type: str) -> StageFailed | None:
    """Why content of `media_type` cannot be parsed, or None if there is a parser for it."""
    if media_type in PARSERS_BY_MEDIA_TYPE:
        return None
    if media_type == NOISE:
        return StageFailed("binary_noise", "the content is neither a known format nor text")
    what = f"there is no parser for {media_type}"
    return StageFailed("unsupported_media_type", what + (_IMAGES_HINT if media_type.startswith("image/") else ""))


def _imported(place: str) -> Parser:
    module, _, function = place.partition(":")
    parser: Parser = getattr(import_module(module), function)
    return parser
