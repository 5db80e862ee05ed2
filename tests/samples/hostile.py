"""Hostile documents, made on the spot, and a parser that misbehaves as a text tells it to.

Pool processes import this module by name: `OBEDIENT_PARSERS` puts `parse_as_told` in the plain text parser's place.
"""

from __future__ import annotations

import os
import random
import signal
import stat
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np

from schemas.events import Stage
from streams.attempts.task import StageAnswer, StageOutput
from streams.stages.contents import encode_text
from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import PLAIN_TEXT
from streams.stages.parse import PARSERS, Parsed
from streams.stages.parsers.plain_text import parse_plain_text
from tests.samples.documents import archive, docx, pdf

MIB = 1024 * 1024
OBEDIENT_PARSERS = {**PARSERS, PLAIN_TEXT: "tests.samples.hostile:parse_as_told"}

_kept: list[object] = []


def noise(size_bytes: int, *, seed: int = 1) -> bytes:
    """Random bytes."""
    return random.Random(seed).randbytes(size_bytes)


def truncated_pdf() -> bytes:
    """The first third of a PDF."""
    whole = pdf([f"page number {number} of a report" for number in range(30)])
    return whole[: len(whole) // 3]


def encrypted_pdf() -> bytes:
    """A PDF that nobody reads without the password."""
    return pdf(["the quarterly figures"], password="correct horse")  # noqa: S106 - the password is the point


def zip_bomb(size_bytes: int = 1024 * MIB) -> bytes:
    """A Word document of about a megabyte whose text unpacks to `size_bytes` of zeros."""
    return archive({"[Content_Types].xml": b"<Types/>", "word/document.xml": bytes(size_bytes)})


def lying_zip_bomb(size_bytes: int = 64 * MIB) -> bytes:
    """A zip bomb whose directory says that it unpacks to a kilobyte."""
    bomb = bytearray(zip_bomb(size_bytes))
    for record, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = bomb.rfind(record)
        bomb[at + offset : at + offset + 4] = struct.pack("<I", 1024)
    return bytes(bomb)


def password_protected_docx() -> bytes:
    """What Word writes when a password is set: an OLE container with an encrypted package."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(500)


def encrypted_zip_docx() -> bytes:
    """A Word document whose members are encrypted one by one."""
    data = bytearray(docx(["secret"]))
    for record, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(record)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(record, at + 1)
    return bytes(data)


def corrupt_docx() -> bytes:
    """A Word document whose text does not inflate."""
    data = bytearray(docx(["some words " * 500]))
    at = data.find(b"word/document.xml") + len(b"word/document.xml")
    data[at : at + 40] = zlib.crc32(b"x").to_bytes(4, "big") * 10
    return bytes(data)


def single_line(size_bytes: int) -> bytes:
    """Words without a line break."""
    words = b"a single line of many words that never ends and "
    return (words * (size_bytes // len(words) + 1))[:size_bytes]


def nested_tags(depth: int, tag: str = "div") -> bytes:
    """HTML with `depth` elements one within the other, and words in the innermost."""
    return b"<html><body>%s the pearl within %s</body></html>" % (
        f"<{tag}>".encode() * depth,
        f"</{tag}>".encode() * depth,
    )


def parse_as_told(content: bytes, media_type: str, settings: StageSettings) -> Parsed:
    """Do what the first word of `content` says, or read it as plain text."""
    misbehave = _MISBEHAVIOURS.get(content.split()[0].decode() if content.split() else "")
    if misbehave is not None:
        misbehave()
    if content.startswith(b"!count"):
        return Parsed(pages=["x"], counts={"n": 2**70})
    if content.startswith(b"!pid"):
        return Parsed(pages=[str(os.getpid())])
    return parse_plain_text(content, media_type, settings)


def _pipe() -> int:
    """The descriptor of the pipe to the parent: the only socket there is."""
    for fd in range(3, 1_000):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                return fd
    raise AssertionError("there is no pipe")


def _say(*parts: bytes) -> None:
    for part in parts:
        os.write(_pipe(), part)


def _fill() -> None:
    """Write one byte more than a pool process may."""
    with tempfile.TemporaryFile() as file:
        file.truncate(64 * MIB)
        file.seek(64 * MIB)
        file.write(b"x")
        file.flush()


def _answer_half() -> None:
    _say((1_000).to_bytes(8, "little"), b"x")
    _hang()


def _trickle() -> None:
    _say((1_000_000).to_bytes(8, "little"))
    while True:
        _say(b"x")
        time.sleep(0.01)


def _boast() -> None:
    _say((512 * MIB + 1).to_bytes(8, "little"))
    _hang()


def _answer_early() -> None:
    """Give the answer to another document before one's own."""
    output = StageOutput(Stage.PARSE, encode_text("forged"), 1, {"characters": 6})
    frame = bytes(16) + StageAnswer(outputs=[output]).packed(is_last=False)
    _say(len(frame).to_bytes(8, "little"), frame)


def _take(mib: int) -> None:
    _kept.append(np.empty(mib * MIB, np.uint8))


def _mark_strangely() -> None:
    os.write(2, b"\x1estage no such stage\xff\n")
    os.kill(os.getpid(), signal.SIGRTMIN + 1)


def _hang() -> None:
    while True:
        time.sleep(1)


def _eat() -> None:
    while True:
        _kept.append(np.empty(16 * MIB, np.uint8))  # unwritten, so that a busy machine reaches the limit soon


def _eat_as_rust_does() -> None:
    sys.stderr.write("memory allocation of 8589934592 bytes failed\n")
    sys.stderr.flush()
    os.abort()


def _keep() -> None:
    _kept.append(b"x" * (250 * MIB))


def _divide() -> None:
    _ = 1 // 0


_MISBEHAVIOURS: Mapping[str, Callable[[], None]] = {
    "!hang": _hang,
    "!eat": _eat,
    "!eat-as-rust-does": _eat_as_rust_does,
    "!keep": _keep,
    "!kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "!crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "!leave": lambda: os._exit(0),
    "!divide": _divide,
    "!fill": _fill,
    "!answer-half": _answer_half,
    "!trickle": _trickle,
    "!boast": _boast,
    "!answer-early": _answer_early,
    "!take-256": lambda: _take(256),
    "!take-1024": lambda: _take(1024),
    "!mark-strangely": _mark_strangely,
}
