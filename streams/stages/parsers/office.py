"""PDF, office documents, e-mail and notebooks, read by kreuzberg; OCR is off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import kreuzberg
from kreuzberg import exceptions

from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import EPUB, OLE, PAGED_MEDIA_TYPES, PDF, ZIP
from streams.stages.parse import Parsed
from streams.stages.parsers.archive import check_archive

_CONFIG: Final = kreuzberg.ExtractionConfig(
    use_cache=False,  # it would write documents to the user's cache folder
    enable_quality_processing=False,
    concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),  # the pool's processes are the parallelism
    pages=kreuzberg.PageConfig(extract_pages=True),
)

_ENCRYPTED_PACKAGE: Final = "EncryptedPackage".encode("utf-16-le")
"""The stream in which Office keeps a document that has a password (MS-OFFCRYPTO 1.3.3)."""

MIN_PAGED_SHARE: Final = 0.95
"""Pages that hold this share of the whole text's letters and digits are taken for it.

What is missing from them are hyphens at line ends and entries of tables of contents, whose headings stand in the text
anyway: of ten real manuals the pages held 96 to 100%.
"""

_WORDS: Final = re.compile(r"\w+").findall

_EPUB_RIGHTS: Final = b"META-INF/encryption.xml"


def parse_office(content: bytes, media_type: str, settings: StageSettings) -> Parsed:  # noqa: ARG001 - as `Parser`
    """The text, with pages for what has pages of its own: PDF and presentations.

    Raises:
        StageFailed: damaged_document, encrypted_document, archive_bomb or unsupported_media_type.
    """
    _check_container(content, media_type)
    try:
        result = kreuzberg.extract_bytes_sync(content, media_type, config=_CONFIG)
    except (exceptions.ValidationError, exceptions.MissingDependencyError) as exc:
        raise StageFailed("unsupported_media_type", f"there is no parser for {media_type}: {_message_of(exc)}") from exc
    except exceptions.KreuzbergError as exc:
        raise _failure(content, media_type, exc) from exc
    title = result.metadata.get("title")
    pages = _pages(result) if media_type in PAGED_MEDIA_TYPES else None
    return Parsed(pages=pages or [result.content], has_pages=pages is not None, title=title)


def _check_container(content: bytes, media_type: str) -> None:
    if content.startswith(ZIP):
        check_archive(content)
        if media_type == EPUB and _EPUB_RIGHTS in content and b"xmlenc" in content:
            raise StageFailed("encrypted_document", "the book is protected by a rights management system")
    if content.startswith(OLE) and _ENCRYPTED_PACKAGE in content:
        raise StageFailed("encrypted_document", "the document asks for a password")


def _pages(result: Any) -> Sequence[str] | None:
    """The text page by page, or None if that would lose some of it.

    A PDF's pages carry their text, and more exactly than `content` does (which lacks what looks like a tag and keeps
    the hyphens at line ends); a presentation's are empty and stand in `content` between byte offsets.
    """
    whole = _word_count(result.content)
    pages = [page["content"] for page in result.pages or []]
    if pages and _word_count("".join(pages)) >= MIN_PAGED_SHARE * whole:
        return pages
    text = result.content.encode()
    boundaries = (result.metadata.get("pages") or {}).get("boundaries") or []
    pages = [text[page["byte_start"] : page["byte_end"]].decode("utf-8", "replace") for page in boundaries]
    return pages if pages and _word_count("".join(pages)) >= MIN_PAGED_SHARE * whole else None


def _word_count(text: str) -> int:
    """Letters and digits: the dots that lead through a table of contents are no text."""
    return sum(map(len, _WORDS(text)))


def _failure(content: bytes, media_type: str, exc: exceptions.KreuzbergError) -> StageFailed:
    message = _message_of(exc)
    if "password" in message.lower() or "encrypt" in message.lower():
        return StageFailed("encrypted_document", "the document asks for a password")
    if media_type == PDF and b"%%EOF" not in content:
        return StageFailed("damaged_document", "the PDF has no end, as if it were cut off")
    return StageFailed("damaged_document", f"the document cannot be read: {message}")


def _message_of(exc: exceptions.KreuzbergError) -> str:
    """What kreuzberg says, without the kind of error it puts before every message."""
    return str(exc).partition("\n")[0].removeprefix(f"{type(exc).__name__}: ")
