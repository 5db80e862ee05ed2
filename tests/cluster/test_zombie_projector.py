"""A projector that stands still until others have its leases: what it still writes when it wakes up is never served."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from refold.engine.engine import INDEXES, SQL_VIEWS
from tests.worlds.cluster import ClusterWorld, cluster_world

ROUNDS = 2
DOCUMENTS = 40
PATIENCE_S = 60.0
PROJECTIONS = {"manifest", "jobs", "stage_results", "vector", "keyword"}


def write(folder: Path, edition: int) -> None:
    """Every document anew, with a word that only this edition has."""
    folder.mkdir(exist_ok=True)
    for number in range(DOCUMENTS):
        text = f"Edition{edition} of page {number}.\n\n" + "The heron stands in the water and waits for fish. " * 60
        (folder / f"{number}.md").write_text(text)


def holders(world: ClusterWorld) -> dict[str, str]:
    """Who keeps what."""
    from projections.sql.leases import Leases  # noqa: PLC0415 - heavy
    from refold.cluster.connections import open_sql  # noqa: PLC0415 - as above

    engine = open_sql(world.settings().cluster)
    try:
        return {n: h for n, h in Leases(engine, duration_s=1).holders().items() if not n.startswith("projector:")}
    finally:
        engine.dispose()


def wait_until_said(world: ClusterWorld, process: subprocess.Popen[str], words: str, *, times: int = 1) -> None:
    """Return once the log of `process` holds `words`."""
    log = world.folder / f"projector-{world.started.index(process)}.log"
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while log.read_text().count(words) < times:
        assert time.monotonic() < deadline_s, log.read_text()
        pause.wait(0.05)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_a_projector_writes_that_was_given_up_is_never_served(tmp_path: Path) -> None:
    with cluster_world(tmp_path) as world:
        pages = tmp_path / "pages"
        world.start("worker")
        zombie = world.start("projector")
        write(pages, 0)
        world.cli("ingest", str(pages), "--json")
        for edition in range(1, ROUNDS + 1):
            write(pages, edition)
            world.cli("ingest", str(pages), "--no-wait", "--json")
            os.killpg(zombie.pid, signal.SIGSTOP)  # in the middle of the edition, or before it
            other = world.start("projector")
            job = world.cli("jobs", "list", "--json").json["jobs"][0]["job_id"]
            world.cli("search", f"Edition{edition}", "--wait-for", job, "--json")  # the other one has applied it all
            for projection in PROJECTIONS:  # a search may be served sooner than the last lease has run out
                wait_until_said(world, other, f'"projection": "{projection}", "event": "a lease was taken"')
            os.killpg(zombie.pid, signal.SIGCONT)
            wait_until_said(world, zombie, "a lease was lost", times=1)
            found = world.cli("search", f"Edition{edition}", "--mode", "keyword", "--limit", "100", "--json").json[
                "hits"
            ]
            assert len({hit["document_id"] for hit in found}) == DOCUMENTS
            for before in range(edition):
                hits = world.cli("search", f"Edition{before}", "--mode", "keyword", "--json", exit_code=1).json["hits"]
                assert hits == []
            assert world.cli("verify", "--deep", "--json").json["consistent"], world.logs()
            world.kill(zombie)
            zombie = other
        assert set(holders(world)) == {*SQL_VIEWS, *INDEXES}
