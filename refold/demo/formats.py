"""A short article as HTML, Word document and PDF, written by hand so that the demo needs no library to make them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Self

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_OPC = "http://schemas.openxmlformats.org/package/2006"
_OOXML = "http://schemas.openxmlformats.org"


@dataclass(frozen=True, slots=True)
class Article:
    """A title and its parts; a part is a heading and paragraphs."""

    title: str
    parts: Sequence[tuple[str, Sequence[str]]]

    @classmethod
    def of(cls, markdown: str) -> Self:
        """The article that `markdown` writes: one title, headings of the second level, paragraphs."""
        title, *sections = markdown.strip().split("\n## ")
        split = [section.strip().split("\n\n") for section in sections]
        parts = [(heading, [" ".join(p.split()) for p in paragraphs]) for heading, *paragraphs in split]
        return cls(title.removeprefix("# ").strip(), parts)


def html_of(article: Article) -> bytes:
    """A page with sections."""
    sections = "\n".join(
        f"<h2>{escape(heading)}</h2>\n" + "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
        for heading, paragraphs in article.parts
    )
    title = escape(article.title)
    page = f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title></head>\n"
    return f"{page}<body><h1>{title}</h1>\n{sections}\n</body></html>\n".encode()


def docx_of(article: Article) -> bytes:
    """The least that is a Word document: Office Open XML, ECMA-376 part 1."""
    paragraphs = [article.title]
    for heading, texts in article.parts:
        paragraphs += [heading, *texts]
    body = "".join(f"<w:p><w:r><w:t>{escape(text)}</w:t></w:r></w:p>" for text in paragraphs)
    return _zip(
        {
            "[Content_Types].xml": _xml(
                f'<Types xmlns="{_OPC}/content-types">'
                '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument'
                '.wordprocessingml.document.main+xml"/>'
                '<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package'
                '.core-properties+xml"/></Types>'
            ),
            "_rels/.rels": _xml(
                f'<Relationships xmlns="{_OPC}/relationships">'
                f'<Relationship Id="r1" Type="{_OOXML}/officeDocument/2006/relationships/officeDocument" '
                'Target="word/document.xml"/>'
                f'<Relationship Id="r2" Type="{_OPC}/relationships/metadata/core-properties" '
                'Target="docProps/core.xml"/></Relationships>'
            ),
            "word/document.xml": _xml(
                f'<w:document xmlns:w="{_OOXML}/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'
            ),
            "docProps/core.xml": _xml(
                f'<cp:coreProperties xmlns:cp="{_OPC}/metadata/core-properties" '
                'xmlns:dc="http://purl.org/dc/elements/1.1/">'
                f"<dc:title>{escape(article.title)}</dc:title></cp:coreProperties>"
            ),
        }
    )


def pdf_of(article: Article) -> bytes:
    """A PDF with a page per part (ISO 32000-1, 7.5): objects, their offsets, a trailer."""
    pages = [_page_stream(article.title, heading, paragraphs) for heading, paragraphs in article.parts]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(pages):
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    objects.append(f"<< /Title ({_pdf_text(article.title)}) >>".encode())
    return _pdf_file(objects)


def _page_stream(title: str, heading: str, paragraphs: Sequence[str]) -> bytes:
    lines = [(11, title), (16, heading)]
    for paragraph in paragraphs:
        lines += [(11, ""), *((11, line) for line in _wrapped(paragraph))]
    shown = "\n".join(f"/F1 {size} Tf ({_pdf_text(text)}) Tj T*" for size, text in lines)
    return f"BT 72 770 Td 18 TL\n{shown}\nET".encode("latin-1")


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    entries = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n{entries}".encode())
    out.write(f"trailer\n<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def _wrapped(paragraph: str, width: int = 80) -> list[str]:
    lines: list[str] = []
    for word in paragraph.split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _pdf_text(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _zip(files: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _xml(content: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{content}'
