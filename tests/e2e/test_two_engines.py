"""Both engines make the same of the same documents, and each takes over what the other has exported."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from refold.demo.documents import write_documents as write_demo_documents
from tests.commands.cli_here import CliHere
from tests.crash.kill_campaign import write_documents
from tests.worlds.cluster import cluster_world
from tests.worlds.two_engines import compare, embedded, ingest, start

QUERIES = 25


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_documents_come_out_the_same_and_move_both_ways(tmp_path: Path) -> None:
    files = write_documents(tmp_path / "files", 60, random.Random(3))
    write_demo_documents(files / "demo")
    local = CliHere(tmp_path / "local")
    folders = [tmp_path / name for name in ("cluster", "taken-over")]
    for folder in folders:
        folder.mkdir()
    with cluster_world(folders[0]) as world, cluster_world(folders[1]) as other:
        start(world)
        told, also = ingest(world.cli, files), ingest(local, files)
        assert (told["completed"], told["failed"]) == (also["completed"], also["failed"])
        with world.client() as client, embedded(local.data) as engine:
            compared = compare(engine, client, queries=QUERIES)
        assert compared.problems == []
        assert compared.keyword_overlap >= 0.9

        # from the cluster to one machine
        world.cli("log", "export", str(tmp_path / "from-cluster"), "--json")
        home = CliHere(tmp_path / "home")
        home("log", "import", str(tmp_path / "from-cluster"), "--artifacts", str(folders[0] / "artifacts"), "--json")
        home("rebuild", "all", "--json")
        assert home("verify", "--deep", "--json").json["consistent"]
        with world.client() as client, embedded(home.data) as engine:
            assert compare(engine, client, queries=QUERIES).problems == []

        # from one machine to another cluster
        local("log", "export", str(tmp_path / "from-local"), "--json")
        other.start("projector")
        other.cli("log", "import", str(tmp_path / "from-local"), "--artifacts", str(local.data / "artifacts"), "--json")
        assert other.cli("verify", "--deep", "--json").json["consistent"]
        other.start("worker")
        again = ingest(other.cli, files)
        assert (again["requested"], again["outcome"]) == (0, "SUCCEEDED")
        with other.client() as client, embedded(local.data) as engine:
            assert compare(engine, client, queries=QUERIES).problems == []
