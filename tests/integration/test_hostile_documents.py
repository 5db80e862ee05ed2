"""Hostile documents in one folder: each ends as it should, and the honest ones between them are completed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.events import ErrorClass
from streams.documents.uris import file_uri
from streams.slot.attempt import AttemptFailed, AttemptOutcome, Produced
from streams.stages.contents import decode_text
from streams.stages.failures import FAILURES
from streams.stages.fingerprints import StageSettings
from tests.samples import hostile
from tests.samples.changing_files import while_read
from tests.worlds.attempt import AttemptWorld, make_pool

MIB = 1024 * 1024
SETTINGS = StageSettings(timeout_s=60.0, memory_limit_bytes=1024 * MIB)


@dataclass(frozen=True)
class Expected:
    """How a document ends: `code` None means completed."""

    make: Callable[[], bytes]
    code: str | None = None
    error_class: ErrorClass = ErrorClass.PERMANENT


FOLDER: Mapping[str, Expected] = {
    "empty.txt": Expected(lambda: b""),
    "empty.pdf": Expected(lambda: b""),
    "noise.bin": Expected(lambda: hostile.noise(100_000), "binary_noise"),
    "noise.txt": Expected(lambda: hostile.noise(100_000), "binary_noise"),
    "noise.docx": Expected(lambda: hostile.noise(100_000), "damaged_document"),
    "truncated.pdf": Expected(hostile.truncated_pdf, "damaged_document"),
    "encrypted.pdf": Expected(hostile.encrypted_pdf, "encrypted_document"),
    "password.docx": Expected(hostile.password_protected_docx, "encrypted_document"),
    "bomb.docx": Expected(lambda: hostile.zip_bomb(128 * MIB), "archive_bomb"),
    "lying-bomb.docx": Expected(hostile.lying_zip_bomb, "archive_bomb"),
    "nested.html": Expected(lambda: hostile.nested_tags(200_000)),
    "picture.png": Expected(lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported_media_type"),
    "eats.txt": Expected(lambda: b"!eat everything", "memory_limit", ErrorClass.POISON),
    "kills.txt": Expected(lambda: b"!kill the process", "pool_process_died", ErrorClass.POISON),
    "crashes.txt": Expected(lambda: b"!crash the process", "pool_process_died", ErrorClass.POISON),
    "too-large.txt": Expected(lambda: hostile.single_line(64 * MIB + 1), "too_large"),
}


async def test_a_folder_of_hostile_documents(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(SETTINGS))
    for name, expected in FOLDER.items():
        world.write(name, expected.make())
        world.write(f"{name}.neighbour.txt", f"an honest neighbour of {name}")
    names = [*FOLDER, *(f"{name}.neighbour.txt" for name in FOLDER)]
    try:
        outcomes = dict(zip(names, await asyncio.gather(*map(world.outcome, names)), strict=True))
    finally:
        await world.attempts.close()
    for name, outcome in outcomes.items():
        check(FOLDER.get(name, Expected(bytes)), outcome, name)


def check(expected: Expected, outcome: AttemptOutcome, name: str) -> None:
    if expected.code is None:
        assert isinstance(outcome, Produced), (name, outcome)
        return
    assert isinstance(outcome, AttemptFailed), name
    assert (outcome.error_code, outcome.error_class) == (expected.code, expected.error_class), (name, outcome)
    assert outcome.message
    assert "\n" not in outcome.message
    assert outcome.hint == FAILURES[expected.code].hint is not None


async def test_a_parser_that_hangs_is_killed_and_its_neighbours_go_on(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(StageSettings(timeout_s=3.0)))
    world.write("hangs.txt", "!hang for ever")
    names = [world.write(f"neighbour-{number}.txt", f"number {number}") for number in range(10)]
    try:
        hanging = asyncio.create_task(world.failed("hangs.txt"))
        neighbours = await asyncio.gather(*map(world.produced, names))
        assert not hanging.done()
        assert all(neighbour.chunk_count == 1 for neighbour in neighbours)
        failed = await hanging
    finally:
        await world.attempts.close()
    assert (failed.error_class, failed.error_code) == (ErrorClass.TIMEOUT, "parse_timeout")


@pytest.mark.slow
async def test_forty_megabytes_in_one_line_are_completed(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(processes=1))
    line = hostile.single_line(40 * MIB)
    world.write("line.txt", line)
    try:
        produced = await world.produced("line.txt")
    finally:
        await world.attempts.close()
    assert decode_text(world.artifacts.get(produced.text)) == line.decode()
    assert produced.chunk_count > len(line) // 1_000


async def test_a_file_that_grows_while_it_is_read_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = AttemptWorld(tmp_path, make_pool(processes=1))
    path = tmp_path / world.write("growing.log", b"a line\n")
    while_read(monkeypatch, path, lambda: path.write_bytes(b"a line\none more line\n"))
    try:
        failed = await world.failed("growing.log")
    finally:
        await world.attempts.close()
    assert (failed.error_class, failed.error_code) == (ErrorClass.TRANSIENT, "source_changed")


async def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(processes=1))
    world.write("gone.txt", "words")
    finding = world.request("gone.txt").finding
    (tmp_path / "gone.txt").unlink()
    failed = await world.failed("gone.txt", finding=finding, uri=file_uri(str(tmp_path / "gone.txt")))
    assert (failed.error_class, failed.error_code) == (ErrorClass.PERMANENT, "source_gone")
    await world.attempts.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file; the folder adapter's tests read as nobody")
async def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    world = AttemptWorld(tmp_path, make_pool(processes=1))
    (tmp_path / world.write("forbidden.txt", "words")).chmod(0)
    failed = await world.failed("forbidden.txt")
    assert (failed.error_class, failed.error_code) == (ErrorClass.PERMANENT, "source_unreadable")
    assert failed.hint is not None
    await world.attempts.close()
