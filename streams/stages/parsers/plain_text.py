"""Plain text and Markdown, taken as they are."""

from __future__ import annotations

import re
from typing import Final

from streams.stages.fingerprints import StageSettings
from streams.stages.parse import TITLE_SEARCH_CHARS, Parsed
from streams.stages.parsers.decoding import decoded

_FIRST_HEADING: Final = re.compile(r"^#[ \t]+(.+?)[ \t#]*$|^(\S.*)\n===+[ \t]*$", re.MULTILINE)


def parse_plain_text(content: bytes, media_type: str, settings: StageSettings) -> Parsed:  # noqa: ARG001 - as `Parser`
    """The text itself, without title."""
    text, counts = decoded(content)
    return Parsed(pages=[text], counts=counts)


def parse_markdown(content: bytes, media_type: str, settings: StageSettings) -> Parsed:  # noqa: ARG001 - as `Parser`
    """The text itself, markup and all; the first heading of the first level is the title."""
    text, counts = decoded(content)
    heading = _FIRST_HEADING.search(text[:TITLE_SEARCH_CHARS].replace("\r\n", "\n"))
    return Parsed(pages=[text], title=heading and (heading[1] or heading[2]), counts=counts)
