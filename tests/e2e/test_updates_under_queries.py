"""Documents are updated while queries run: a known one is never missing, whole pipeline and both indexes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import refold
from tests.commands.refold_cli import age

UPDATES = 200
NEIGHBOURS = 20


@pytest.mark.slow
async def test_during_200_updates_a_known_document_is_never_missing(tmp_path: Path) -> None:
    async with refold.open(tmp_path / "data") as pipeline:
        for number in range(NEIGHBOURS):
            await pipeline.add(f"neighbour/{number}", text=f"Neighbour {number} speaks of bread and salt.")
        await pipeline.add("known", text="narwhal, version 0")
        searching = asyncio.create_task(_search_until_done(pipeline, done := asyncio.Event()))
        for number in range(1, UPDATES + 1):
            result = await pipeline.add("known", text=f"narwhal, version {number}. " * (1 + number % 60))
            assert (result.status, result.version) == ("completed", number + 1)
        done.set()
        searches, latest = await searching
        assert searches >= UPDATES // 10
        assert latest <= UPDATES + 1
        assert (await pipeline.call("verify", deep=True))["consistent"]


async def _search_until_done(pipeline: refold.Pipeline, done: asyncio.Event) -> tuple[int, int]:
    """How many searches were made, and the latest version seen; each finds the document, in one version."""
    searches, latest = 0, 1
    while not done.is_set():
        for mode in ("hybrid", "vector", "keyword"):
            answer = await pipeline.search("narwhal", mode=mode, limit=3)
            versions = {hit.version for hit in answer.hits if hit.uri == "push:known"}
            assert len(versions) == 1, (mode, versions)
            searches += 1
        latest = max(latest, *versions)
    return searches, latest


async def test_a_failed_update_leaves_the_old_version_searchable(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    report = docs / "report.txt"
    report.write_text("The narwhal is doing well.")
    age(docs)
    async with refold.open(tmp_path / "data") as pipeline:
        await pipeline.run([docs])
        report.write_bytes(bytes(range(256)) * 64)
        result = await pipeline.run([docs])
        assert [bool(error.message) for error in result.errors] == [True]
        for mode in ("vector", "keyword"):
            (hit,) = (await pipeline.search("narwhal", mode=mode)).hits
            assert (hit.version, hit.text) == (1, "The narwhal is doing well.")
        assert (await pipeline.call("verify"))["consistent"]
