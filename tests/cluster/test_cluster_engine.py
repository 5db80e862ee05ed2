"""The cluster engine as people use it: commands beside real workers and projectors over real servers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import refold
from tests.commands.watched_command import commanded
from tests.worlds.cluster import ClusterWorld, cluster_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ClusterWorld]:
    with cluster_world(tmp_path) as world:
        yield world


def library(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThe heron number {number} stands in the water.\n")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_documents_go_in_are_found_and_proved_consistent(world: ClusterWorld, tmp_path: Path) -> None:
    projector, worker = world.start("projector"), world.start("worker")
    pages = library(tmp_path / "pages")
    done = world.cli("ingest", str(pages), "--json").json
    assert (done["outcome"], done["completed"], done["searchable"]) == ("SUCCEEDED", 12, True)
    hits = world.cli("search", "heron number 7", "--json").json["hits"]
    assert hits[0]["uri"].endswith("/7.md")
    assert world.cli("verify", "--json").json["consistent"]
    (pages / "3.md").unlink()
    again = world.cli("ingest", str(pages), "--json").json
    assert (again["requested"], again["unchanged"], again["removed"]) == (1, 11, 1)
    assert world.cli("status", "--json").json["documents"]["live_documents"] == 11
    loaded = commanded("jobs", "list", environment=world.cli.environment)["loaded"]
    assert {"qdrant_client", "opensearchpy"} & set(loaded) == set(), "no index was asked"
    for process in (worker, projector):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, world.logs()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_program_publishes_searches_and_subscribes(world: ClusterWorld) -> None:
    world.start("projector")
    world.start("worker")
    async with refold.open(config=world.config) as pipeline:
        added = await pipeline.add("heron", text="The heron stands in the water.", metadata={"kind": "bird"})
        assert (added.status, added.version) == ("completed", 1)
        found = await pipeline.search("heron", filters=["metadata.kind=bird"])
        assert [hit.uri for hit in found.hits] == ["push:heron"]
        assert await kinds_of(pipeline, 2) == ["DocumentQueued", "DocumentStarted"]
    async with refold.open(config=world.config) as pipeline:  # the second one was not handled to its end
        assert await kinds_of(pipeline, 2) == ["DocumentStarted", "DocumentCompleted"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_doctor_looks_at_every_server_and_names_the_one_that_is_away(world: ClusterWorld) -> None:
    checks = {one["check"]: one for one in world.cli("doctor", "--json").json["checks"]}
    assert all(checks[name]["is_good"] for name in ("topics", "log", "postgres", "opensearch", "qdrant", "artifacts"))
    away = {**world.values, "cluster": {**world.values["cluster"], "postgres": "postgresql://nobody@127.0.0.1:1/none"}}
    world.config.write_text(json.dumps(away))
    checks = {one["check"]: one for one in world.cli("doctor", "--json", exit_code=1).json["checks"]}
    assert not checks["postgres"]["is_good"]
    assert checks["log"]["is_good"]
    answer = world.cli("status", "--json", exit_code=3)
    assert answer.json["error"]["class"] == "UnreachableError"


async def kinds_of(pipeline: refold.Pipeline, count: int) -> list[str]:
    """The kinds of the next events for a group."""
    kinds: list[str] = []
    async with aclosing(pipeline.subscribe(["documents"], group="mirror")) as deliveries:  # type: ignore[type-var]
        async for delivery in deliveries:
            kinds.append(type(delivery.event).__name__)
            if len(kinds) == count:
                break
    return kinds
