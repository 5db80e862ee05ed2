"""A short campaign against a cluster in every test run; the long one: `python -m tests.crash.cluster_campaign`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.cluster_campaign import run
from tests.worlds.cluster import cluster_world


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_whose_processes_are_killed_keeps_every_promise(tmp_path: Path) -> None:
    with cluster_world(tmp_path) as world:
        report = run(world, documents=200, kills=8, seed=7)
    assert report.problems == []
    assert report.kills == 8
