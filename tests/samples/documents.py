"""Small honest documents in the formats that a text editor cannot write."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence

_PASSWORD_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_FILE_ID = b"0123456789abcdef"
_PERMISSIONS = (0xFFFFFFFC).to_bytes(4, "little")

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_CONTENT_TYPES = (
    f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
    f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)


def pdf(pages: Sequence[str], *, title: str | None = None, password: str | None = None) -> bytes:
    """A PDF with one line of text per page; `password` encrypts it as PDF 1.4 did (40 bits, ISO 32000-1, 7.6.3)."""
    key = None if password is None else _encryption_key(password)
    page_numbers = [4 + 2 * number for number in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in page_numbers)
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    for number, text in zip(page_numbers, pages, strict=True):
        drawing = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
        if key is not None:
            drawing = _rc4(_object_key(key, number + 1), drawing)
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R"
            f" /Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        objects[number + 1] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing)
    trailer = f"/Root 1 0 R /ID [<{_FILE_ID.hex()}> <{_FILE_ID.hex()}>]"
    if title is not None:
        objects[max(objects) + 1] = f"<< /Title ({title}) >>".encode()
        trailer += f" /Info {max(objects)} 0 R"
    if password is not None:
        owner, user = _rc4(_owner_key(password), _padded(password)), _rc4(key or b"", _PASSWORD_PADDING)
        trailer += f" /Encrypt << /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{user.hex()}> /P -4 >>"
    return _pdf_file(objects, trailer)


def docx(paragraphs: Sequence[str], *, title: str | None = None) -> bytes:
    """A Word document."""
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    relations = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    members = {"word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'}
    if title is not None:
        kind = f"{_PACKAGE}/relationships/metadata/core-properties"
        relations += f'<Relationship Id="r2" Type="{kind}" Target="docProps/core.xml"/>'
        members["docProps/core.xml"] = (
            f'<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties"'
            f' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></cp:coreProperties>'
        )
    return archive(
        {
            "[Content_Types].xml": _CONTENT_TYPES,
            "_rels/.rels": _relationships(relations),
            **members,
        }
    )


def presentation(slides: Sequence[str]) -> bytes:
    """A PowerPoint presentation with one line per slide."""
    names = (
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
        ' xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
        f' xmlns:r="{_OFFICE}"'
    )
    numbers = range(1, len(slides) + 1)
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in numbers)
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/slide" Target="slides/slide{n}.xml"/>' for n in numbers
    )
    office = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="ppt/presentation.xml"/>'
    members = {
        "[Content_Types].xml": _CONTENT_TYPES,
        "_rels/.rels": _relationships(office),
        "ppt/presentation.xml": f"<p:presentation {names}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relationships(relations),
    }
    for number, text in zip(numbers, slides, strict=True):
        shape = f"<p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        members[f"ppt/slides/slide{number}.xml"] = (
            f"<p:sld {names}><p:cSld><p:spTree>{shape}</p:spTree></p:cSld></p:sld>"
        )
    return archive(members)


def epub(title: str, paragraph: str) -> bytes:
    """An electronic book of one chapter."""
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": (
                '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
                '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
            ),
            "book.opf": (
                '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">'
                f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
                '<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
                '<spine><itemref idref="a"/></spine></package>'
            ),
            "a.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{paragraph}</p></body></html>',
        }
    )


def archive(members: Mapping[str, str | bytes]) -> bytes:
    """A zip archive; ``mimetype`` is stored, everything else deflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            how = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            file.writestr(zipfile.ZipInfo(name), data, compress_type=how)
    return buffer.getvalue()


def _relationships(relations: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>'


def _pdf_file(objects: Mapping[int, bytes], trailer: str) -> bytes:
    file = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in sorted(objects.items()):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(file)


def _padded(password: str) -> bytes:
    return (password.encode("latin-1") + _PASSWORD_PADDING)[:32]


def _owner_key(password: str) -> bytes:
    return hashlib.md5(_padded(password)).digest()[:5]  # noqa: S324 - the format's own algorithm


def _encryption_key(password: str) -> bytes:
    owner = _rc4(_owner_key(password), _padded(password))
    seed = _padded(password) + owner + _PERMISSIONS + _FILE_ID
    return hashlib.md5(seed).digest()[:5]  # noqa: S324 - the format's own algorithm


def _object_key(key: bytes, number: int) -> bytes:
    seed = key + number.to_bytes(3, "little") + b"\x00\x00"
    return hashlib.md5(seed).digest()[:10]  # noqa: S324 - the format's own algorithm


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    encrypted = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        encrypted.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(encrypted)
