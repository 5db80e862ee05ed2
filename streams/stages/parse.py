"""The parse stage: content to text, by the parser of its media type.

An empty file is no failure: it is completed with an empty text and no chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import HTML, MARKDOWN, NOISE, OFFICE, PARSERS_BY_MEDIA_TYPE, PLAIN_TEXT
from streams.stages.parsed import Parsed, assembled

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
