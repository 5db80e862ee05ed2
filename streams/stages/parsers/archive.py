"""Zip archives (DOCX, XLSX, EPUB, … are such), measured before a parser unpacks them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Final

from streams.stages.failures import StageFailed

MAX_MEMBERS: Final = 50_000
"""Far more parts than any office document has; a directory is about a hundred bytes a part."""

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
"""Half of what a pool process may take, since parsers hold parts whole."""

MAX_RATIO: Final = 200
"""Spreadsheets, the most compressible documents, reach 50; deflate ends at 1,032."""

ALWAYS_UNPACKED_BYTES: Final = 16 * 1024 * 1024
"""Below this an archive is harmless whatever its ratio."""

_STEP_BYTES: Final = 1024 * 1024
_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED: Final = 0x1


def check_archive(content: bytes) -> None:
    """Return if the archive unpacks to a sane size, by what it declares and by what it really inflates to.

    Raises:
        StageFailed: archive_bomb, encrypted_document or damaged_document.
    """
    try:
        members = zipfile.ZipFile(io.BytesIO(content)).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as exc:
        raise StageFailed("damaged_document", f"the archive's directory cannot be read: {exc}") from exc
    if len(members) > MAX_MEMBERS:
        raise StageFailed("archive_bomb", f"the archive has {len(members)} members, more than {MAX_MEMBERS}")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise StageFailed("encrypted_document", "the archive's members are encrypted")
    limit_bytes = min(MAX_UNPACKED_BYTES, max(ALWAYS_UNPACKED_BYTES, len(content) * MAX_RATIO))
    declared_bytes = sum(member.file_size for member in members)
    if declared_bytes > limit_bytes:
        raise _bomb(declared_bytes, packed_bytes=len(content))
    unpacked_bytes = 0
    for member in members:
        unpacked_bytes += _unpacked_bytes(content, member, limit_bytes - unpacked_bytes)
        if unpacked_bytes > limit_bytes:
            raise _bomb(unpacked_bytes, packed_bytes=len(content))


def _unpacked_bytes(content: bytes, member: zipfile.ZipInfo, limit_bytes: int) -> int:
    """What `member` really inflates to; counting ends beyond `limit_bytes`. Its declaration may be a lie."""
    header = content[member.header_offset : member.header_offset + _LOCAL_HEADER_BYTES]
    if member.compress_type != zipfile.ZIP_DEFLATED or len(header) < _LOCAL_HEADER_BYTES:
        return member.file_size
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    start = member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    packed = content[start : start + member.compress_size]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked_bytes = 0
    try:
        while packed and not inflater.eof and unpacked_bytes <= limit_bytes:
            unpacked_bytes += len(inflater.decompress(packed, _STEP_BYTES))
            packed = inflater.unconsumed_tail
    except zlib.error as exc:
        raise StageFailed("damaged_document", f"{member.filename} in the archive cannot be unpacked: {exc}") from exc
    return unpacked_bytes


def _bomb(unpacked_bytes: int, *, packed_bytes: int) -> StageFailed:
    return StageFailed(
        "archive_bomb", f"the archive's {packed_bytes} bytes unpack to {unpacked_bytes} or more, which is no document"
    )
