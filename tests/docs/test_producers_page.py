"""The examples of `ops/producers.md`, run as they stand against a real Kafka, a real registry and a worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from schemas.events import DocumentCompleted, DocumentQueued, DocumentRequested, Meta, PipelineEvent
from schemas.ids import document_id_of
from streams.documents.request_contract import MAX_CONTENT_BYTES, MAX_TEXT_BYTES
from tests.commands.markdown_blocks import ROOT, Block, blocks, code, rows
from tests.servers.run import lacking
from tests.worlds.producers import ProducersWorld, producers_world

PAGE = ROOT / "ops" / "producers.md"
SENDS = "producer.produce("


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProducersWorld]:
    with producers_world(tmp_path) as world:
        yield world


def examples(language: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language]


def run(world: ProducersWorld, folder: Path, *command: str) -> None:
    environment = {**os.environ, **world.variables}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def wait_until_completed(world: ProducersWorld, uri: str) -> list[PipelineEvent]:
    """What `documents` says of the document, once it is completed."""
    document_id = document_id_of(uri)

    def is_there(events: Collection[PipelineEvent]) -> bool:
        return any(isinstance(event, DocumentCompleted) and event.document_id == document_id for event in events)

    recorded = world.wait_for("documents", is_there)
    return [one.event for one in recorded if one.key == document_id]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_example_brings_a_document_into_the_corpus_however_often_they_run(
    world: ProducersWorld, tmp_path: Path
) -> None:
    example = examples("python")[0].text
    run(world, tmp_path, sys.executable, "-c", example)
    events = wait_until_completed(world, "push:letters/1")
    queued, completed = events[0], events[-1]
    assert isinstance(queued, DocumentQueued)
    assert isinstance(completed, DocumentCompleted)
    assert (completed.request_id, completed.metadata) == (queued.request_id, {"team": "kitchen"})
    run(world, tmp_path, sys.executable, "-c", example)
    run(world, tmp_path, sys.executable, "-c", example.replace("push:letters/1", "push:letters/later"))
    wait_until_completed(world, "push:letters/later")
    again = [one.event for one in world.wait_for("documents", bool) if one.key == document_id_of("push:letters/1")]
    assert [event for event in again if isinstance(event, DocumentQueued)] == [queued]
    assert {one.partition for one in world.wait_for("requests", bool)} <= {0, 1}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_kcat_sends_a_request_that_lies_in_a_file(world: ProducersWorld, tmp_path: Path) -> None:
    if shutil.which("kcat") is None:
        lacking("kcat", "it is not installed; it is a package of Debian, and .ci/tools installs it")
    first, second = examples("python")
    not_sent = "\n".join(line for line in first.text.splitlines() if not line.startswith(SENDS))
    run(world, tmp_path, sys.executable, "-c", f"{not_sent}\n{second.text}")
    (kcat,) = examples("bash")
    run(world, tmp_path, "bash", "-c", kcat.text)
    wait_until_completed(world, "push:letters/1")
    (sent,) = world.wait_for("requests", bool)
    assert sent.key == document_id_of("push:letters/1")  # one record: it was sent to the right partition


def test_the_page_tells_every_field_of_a_request() -> None:
    told = {name for row in rows(PAGE) for name in code(row[0])}
    meta = {f"meta.{field.name}" for field in fields(Meta)} - {"meta.sequence"}
    assert meta | {field.name for field in fields(DocumentRequested)} - {"meta"} <= told


def test_the_page_tells_the_limits_of_the_code() -> None:
    text = PAGE.read_text()
    assert f"{MAX_CONTENT_BYTES:,} bytes" in text
    assert f"{MAX_CONTENT_BYTES // 1024} KiB" in text
    assert f"{MAX_TEXT_BYTES // 1024} KiB" in text
