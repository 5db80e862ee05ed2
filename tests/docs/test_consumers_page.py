"""The examples of `ops/consumers.md`, run as they stand against a real Kafka, a real registry and a worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events import DocumentRequested, Meta
from schemas.ids import document_id_of, event_id_of
from streams.log import Draft
from tests.commands.markdown_blocks import ROOT, blocks
from tests.servers.run import lacking
from tests.worlds.producers import ProducersWorld, producers_world

PAGE = ROOT / "ops" / "consumers.md"
KINDS = ["DocumentQueued", "DocumentStarted", "DocumentCompleted"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProducersWorld]:
    with producers_world(tmp_path) as world:
        yield world


def publish(world: ProducersWorld, uri: str) -> str:
    meta = Meta(
        event_id=event_id_of("test", "DocumentRequested", uri), occurred_at=datetime.now(UTC), pipeline_id="test"
    )
    request = DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri, adapter="push", content=b"a text")
    world.log.append(None, [Draft("requests", request.document_id, request)])
    return request.document_id


def run(world: ProducersWorld, language: str, *command: str) -> str:
    (example,) = (block.text for block in blocks(PAGE) if block.language == language)
    environment = {**os.environ, **world.variables}
    ran = subprocess.run([*command, example], env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_examples_follow_a_document_to_its_end(world: ProducersWorld) -> None:
    document_id = publish(world, "push:letters/1")
    said = run(world, "python", sys.executable, "-c")
    assert said.splitlines() == [f"{kind} {document_id} {number}" for number, kind in enumerate(KINDS, 1)]
    if shutil.which("kcat") is None:
        lacking("kcat", "it is not installed; it is a package of Debian, and .ci/tools installs it")
    seen = run(world, "bash", "bash", "-c").splitlines()
    assert seen == [f"kind={kind} {document_id}" for kind in KINDS]
