from __future__ import annotations

import pytest

from streams.stages.media_types import NOISE, media_type_of
from tests.samples.documents import archive, docx, epub, pdf, presentation

OOXML = "application/vnd.openxmlformats-officedocument."
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
HTML = b"\n\t<!DOCTYPE html><html><body>hello"


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("file:///a/report.pdf", pdf(["x"]), "application/pdf"),
        ("report", b"\x00\x01 junk before" + pdf(["x"]), "application/pdf"),
        ("report.pdf", b"junk before" + pdf(["x"]), "application/pdf"),
        ("on-magic.md", b"# Magic\n\nA PDF begins with %PDF- and a GIF with GIF8.", "text/markdown"),
        ("id3.txt", b"ID3 tags begin with ID3", "text/plain"),
        ("error-page.pdf", HTML, "text/html"),
        ("letter.docx", docx(["x"]), f"{OOXML}wordprocessingml.document"),
        ("letter", docx(["x"]), f"{OOXML}wordprocessingml.document"),
        ("slides", presentation(["x"]), f"{OOXML}presentationml.presentation"),
        ("book.zip", epub("t", "x"), "application/epub+zip"),
        (
            "text.odt",
            archive({"mimetype": "application/vnd.oasis.opendocument.text"}),
            "application/vnd.oasis.opendocument.text",
        ),
        ("things.zip", archive({"a.txt": "hello"}), "application/zip"),
        ("old.doc", OLE, "application/msword"),
        ("old.XLS", OLE, "application/vnd.ms-excel"),
        ("renamed.docx", OLE, "application/x-ole-storage"),
        ("letter.rtf", rb"{\rtf1 hello}", "application/rtf"),
        ("letter.txt", rb"{\rtf1 hello}", "application/rtf"),
        ("README.MD", b"# hello", "text/markdown"),
        ("push:note.markdown", b"hello", "text/markdown"),
        ("https://host/page.html?version=2.md", b"hello", "text/html"),
        ("page", HTML, "text/html"),
        ("feed.xml", b"<?xml version='1.0'?><feed/>", "application/xml"),
        ("page.xml", b"<?xml version='1.0'?><html xmlns='x'><body/></html>", "text/html"),
        ("data.json", b"{}", "application/json"),
        ("program.py", b"print('<html>')", "text/plain"),
        ("unknown.docx", b"just text", "text/plain"),
        ("notebook.ipynb", b"{}", "application/x-ipynb+json"),
        ("mail.eml", b"From: a@b.example\n\nhello", "message/rfc822"),
        ("noname", bytes(range(256)) * 4, NOISE),
        ("damaged.pdf", bytes(range(256)) * 4, "application/pdf"),
        ("utf16.txt", "hello".encode("utf-16"), "text/plain"),
        ("empty.html", b"", "application/x-empty"),
    ],
)
def test_content_decides_before_the_suffix(name: str, content: bytes, media_type: str) -> None:
    assert media_type_of(content, name) == media_type
