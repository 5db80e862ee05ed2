"""A disk that fills up while documents go in: a line and a hint, and what was durable stays readable."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.refold_cli import Cli, age

DISK_MIB = 160
FREE_MIB = 64
"""What the rest of the disk leaves: the documents want twice as much."""

DOCUMENTS = 150
DOCUMENT_WORDS = 30_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}M", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system (root)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_command_and_what_was_durable_stays_readable(disk: Path, tmp_path: Path) -> None:
    docs = write_documents(tmp_path / "docs")
    cli = Cli(disk / "data")
    cli("documents", "add", "first", "--text", "a narwhal in the first document")
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - (FREE_MIB << 20)))
    full = cli("ingest", str(docs), exit_code=4)
    told = [line for line in full.stderr.splitlines() if line.startswith(("refold:", "  hint:"))]
    assert len(told) == 2, full.stderr
    assert "free" in told[1]
    assert [hit["uri"] for hit in cli("search", "narwhal", "--mode", "keyword", "--json").json["hits"]] == [
        "push:first"
    ]
    assert cli("documents", "show", "push:first", "--json").json["status"] == "live"
    assert cli("log", "stat", "--json").json["topics"]["documents"]["DocumentCompleted"] >= 1

    subprocess.run(["mount", "-o", f"remount,size={20 * DISK_MIB}M", str(disk)], check=True)
    assert cli("ingest", str(docs), "--json").json["outcome"] == "SUCCEEDED"
    assert cli("status", "--json").json["documents"]["live_documents"] == DOCUMENTS + 1
    assert cli("verify", "--deep", "--json").json["consistent"]


def write_documents(folder: Path) -> Path:
    """Texts that fill what is left of the disk."""
    folder.mkdir()
    rng = random.Random(5)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(3, 12))) for _ in range(20_000)]
    for number in range(DOCUMENTS):
        (folder / f"{number:03}.txt").write_text(" ".join(rng.choices(words, k=DOCUMENT_WORDS)))
    age(folder)
    return folder
