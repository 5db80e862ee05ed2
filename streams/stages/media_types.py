"""Which media type some content is, and which parser reads it.

Content decides first (magic numbers, then whether it is text at all), the name's suffix second: a suffix tells Markdown
from plain text and a spreadsheet from a letter, and never makes text of noise.
"""

from __future__ import annotations

import codecs
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final

PLAIN_TEXT: Final = "plain_text"
MARKDOWN: Final = "markdown"
HTML: Final = "html"
OFFICE: Final = "office"

EMPTY: Final = "application/x-empty"
NOISE: Final = "application/octet-stream"

SAMPLE_BYTES: Final = 64 * 1024
"""What is looked at to tell text from noise; the parser decodes the whole and has the last word."""

HEAD_BYTES: Final = 1024
"""How far into a file readers look for ``%PDF-`` (ISO 32000, annex H) and browsers for a tag."""

MAX_CONTROL_SHARE: Final = 0.01
"""Text in a legacy encoding has hardly any control characters; of random bytes one in ten is one."""

PDF: Final = "application/pdf"
EPUB: Final = "application/epub+zip"

_OOXML: Final = "application/vnd.openxmlformats-officedocument."
_ODF: Final = "application/vnd.oasis.opendocument."

PARSERS_BY_MEDIA_TYPE: Final = MappingProxyType(
    {
        EMPTY: PLAIN_TEXT,
        "text/plain": PLAIN_TEXT,
        "text/csv": PLAIN_TEXT,
        "text/tab-separated-values": PLAIN_TEXT,
        "application/json": PLAIN_TEXT,
        "application/xml": PLAIN_TEXT,
        "application/yaml": PLAIN_TEXT,
        "text/markdown": MARKDOWN,
        "text/html": HTML,
        PDF: OFFICE,
        "application/rtf": OFFICE,
        EPUB: OFFICE,
        "application/x-ipynb+json": OFFICE,
        "message/rfc822": OFFICE,
        "application/msword": OFFICE,
        "application/vnd.ms-excel": OFFICE,
        "application/vnd.ms-powerpoint": OFFICE,
        "application/vnd.ms-outlook": OFFICE,
        "application/x-ole-storage": OFFICE,
        f"{_OOXML}wordprocessingml.document": OFFICE,
        f"{_OOXML}presentationml.presentation": OFFICE,
        f"{_OOXML}spreadsheetml.sheet": OFFICE,
        f"{_ODF}text": OFFICE,
        f"{_ODF}presentation": OFFICE,
        f"{_ODF}spreadsheet": OFFICE,
    }
)
"""Every media type that can be read; `streams/stages/parse.py` holds the parsers."""

PAGED_MEDIA_TYPES: Final = frozenset([PDF, f"{_OOXML}presentationml.presentation"])
"""What has pages (or slides) of its own; a word processor's pages are made only when it prints."""

_TEXT_SUFFIXES: Final = MappingProxyType(
    {
        ".csv": "text/csv",
        ".tsv": "text/tab-separated-values",
        ".json": "application/json",
        ".xml": "application/xml",
        ".yaml": "application/yaml",
        ".yml": "application/yaml",
        ".md": "text/markdown",
        ".markdown": "text/markdown",
        ".html": "text/html",
        ".htm": "text/html",
        ".xhtml": "text/html",
        ".ipynb": "application/x-ipynb+json",
        ".eml": "message/rfc822",
    }
)

_OLE_SUFFIXES: Final = MappingProxyType(
    {
        ".doc": "application/msword",
        ".xls": "application/vnd.ms-excel",
        ".ppt": "application/vnd.ms-powerpoint",
        ".msg": "application/vnd.ms-outlook",
    }
)

_ZIP_SUFFIXES: Final = MappingProxyType(
    {
        ".docx": f"{_OOXML}wordprocessingml.document",
        ".pptx": f"{_OOXML}presentationml.presentation",
        ".xlsx": f"{_OOXML}spreadsheetml.sheet",
        ".odt": f"{_ODF}text",
        ".odp": f"{_ODF}presentation",
        ".ods": f"{_ODF}spreadsheet",
        ".epub": EPUB,
    }
)

_ZIP_MEMBERS: Final = (
    (b"word/document.xml", f"{_OOXML}wordprocessingml.document"),
    (b"ppt/presentation.xml", f"{_OOXML}presentationml.presentation"),
    (b"xl/workbook.xml", f"{_OOXML}spreadsheetml.sheet"),
    (b"META-INF/container.xml", EPUB),
)

_BINARY_SUFFIXES: Final = MappingProxyType({".pdf": PDF, **_OLE_SUFFIXES, **_ZIP_SUFFIXES})

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")

_MAGIC: Final = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"(\xb5/\xfd", "application/zstd"),
    (b"7z\xbc\xaf'\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
    (b"\x00asm", "application/wasm"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"wOF2", "font/woff2"),
)

_UNICODE_BOMS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b")) + b"\x7f"


def media_type_of(content: bytes, name: str) -> str:
    """The media type of `content`, which its source calls `name` (a path or uri); `NOISE` if it is none we know."""
    if not content:
        return EMPTY
    suffix = PurePosixPath(name.partition("?")[0]).suffix.lower()
    seems_text = is_text(content[:SAMPLE_BYTES])
    if _is_pdf(content, suffix, seems_text=seems_text):
        return PDF
    if content.startswith(b"{\\rtf"):
        return "application/rtf"
    if not seems_text:
        return _binary_media_type(content, suffix)
    if _begins_like_html(content):
        return "text/html"
    return _TEXT_SUFFIXES.get(suffix, "text/plain")


def is_text(sample: bytes) -> bool:
    """Whether `sample` is text in some encoding, Unicode or older."""
    if sample.startswith(_UNICODE_BOMS):
        return True
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return b"\x00" not in sample and controls <= len(sample) * MAX_CONTROL_SHARE


def _is_pdf(content: bytes, suffix: str, *, seems_text: bool) -> bool:
    """Whether a PDF begins in the first bytes; in a text further down it is only talked about."""
    if content.startswith(b"%PDF-"):
        return True
    return b"%PDF-" in content[:HEAD_BYTES] and (suffix == ".pdf" or not seems_text)


def _binary_media_type(content: bytes, suffix: str) -> str:
    if content.startswith(ZIP):
        return _zip_media_type(content, suffix)
    if content.startswith(OLE):
        return _OLE_SUFFIXES.get(suffix, "application/x-ole-storage")
    by_magic = next((media_type for magic, media_type in _MAGIC if content.startswith(magic)), None)
    return by_magic or _BINARY_SUFFIXES.get(suffix, NOISE)


def _zip_media_type(content: bytes, suffix: str) -> str:
    declared = _declared_by_first_member(content)
    if declared in PARSERS_BY_MEDIA_TYPE:
        return declared
    if suffix in _ZIP_SUFFIXES:
        return _ZIP_SUFFIXES[suffix]
    # Names stand uncompressed in the archive, so a search is enough and costs no parsing of a hostile directory.
    return next((media_type for member, media_type in _ZIP_MEMBERS if member in content), "application/zip")


def _declared_by_first_member(content: bytes) -> str:
    """What an OpenDocument or EPUB file says it is: its first member is ``mimetype``, stored (ODF 1.2 part 3, 3.3)."""
    if content[30:38] != b"mimetype":
        return ""
    size_bytes = int.from_bytes(content[22:26], "little")
    start = 38 + int.from_bytes(content[28:30], "little")
    return content[start : start + min(size_bytes, 100)].decode("ascii", "replace").strip()


def _begins_like_html(content: bytes) -> bool:
    head = content[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n\f").lower()
    return head.startswith((b"<!doctype html", b"<html")) or (head.startswith(b"<") and b"<html" in head)
