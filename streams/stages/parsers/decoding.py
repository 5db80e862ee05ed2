"""Bytes that are said to be text, decoded."""

from __future__ import annotations

import codecs
from typing import Final

from streams.stages.failures import StageFailed
from streams.stages.media_types import is_text

GUESS_BYTES: Final = 256 * 1024
"""How much a charset is guessed from; this takes about 20 ms."""

FALLBACK_CHARSET: Final = "cp1252"
"""What browsers read unlabelled Western text as; it covers ISO 8859-1."""

_MAX_BROKEN_SHARE: Final = 0.25
"""Mostly well-formed multi-byte sequences are UTF-8 with damage; in a legacy charset hardly any is well-formed."""

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_REPLACEMENT: Final = "\ufffd"


def decoded(content: bytes, *, declared: str | None = None) -> tuple[str, dict[str, int]]:
    """The text in `content`, and counts of what was guessed or lost.

    A byte order mark decides, then whether it is UTF-8, then the charset it is `declared` in, then a guess
    (``guessed_charset`` is counted). What does not decode becomes U+FFFD (``replaced_characters``).

    Raises:
        StageFailed: this is no text (binary_noise).
    """
    for bom, charset in _BOMS:
        if content.startswith(bom):
            return _counted(content.decode(charset, "replace"))
    try:
        return content.decode(), {}
    except UnicodeDecodeError:
        pass
    if not is_text(content):
        raise StageFailed("binary_noise", "the content is neither a known format nor text")
    if declared is not None and (text := _decoded_as(declared, content)) is not None:
        return text, {}
    as_utf8 = content.decode("utf-8", "replace")
    broken = as_utf8.count(_REPLACEMENT)
    if broken <= _MAX_BROKEN_SHARE * (len(as_utf8) - len(as_utf8.encode("ascii", "ignore"))):
        return as_utf8, {"replaced_characters": broken}
    text, counts = _counted(content.decode(_guessed_charset(content), "replace"))
    return text, {"guessed_charset": 1, **counts}


def _decoded_as(charset: str, content: bytes) -> str | None:
    try:
        return content.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None


def _guessed_charset(content: bytes) -> str:
    import chardet  # noqa: PLC0415 - it takes 28 MiB, and most files never need it

    return chardet.detect(content[:GUESS_BYTES])["encoding"] or FALLBACK_CHARSET


def _counted(text: str) -> tuple[str, dict[str, int]]:
    replaced = text.count(_REPLACEMENT)
    return text, {"replaced_characters": replaced} if replaced else {}
