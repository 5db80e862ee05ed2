"""What a real worker and a real projector show of themselves."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refold.local.server import free_port
from tests.worlds.cluster import ClusterWorld, cluster_world

PATIENCE_S = 120.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ClusterWorld]:
    with cluster_world(tmp_path) as world:
        yield world


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def wait_for(port: int, path: str, status: int, *, says: str = "") -> None:
    """Return once `path` gives `status` and a body with `says`."""
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while (answer := get(port, path))[0] != status or says not in answer[1]:
        assert time.monotonic() < deadline_s, answer
        pause.wait(0.1)


def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's readings that bear `labels`."""
    families = text_string_to_metric_families(get(port, "/metrics")[1])
    readings = [reading for family in families for reading in family.samples if reading.name == name]
    return sum(reading.value for reading in readings if labels.items() <= reading.labels.items())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_worker_and_projector_show_when_they_are_ready_and_what_they_have_done(
    world: ClusterWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {}
    for command in ("worker", "projector"):  # the worker first: it has to wait for what a projector makes
        ports[command] = free_port()
        monkeypatch.setenv("REFOLD_CLUSTER__HEALTH_PORT", str(ports[command]))
        world.start(command)
        if command == "worker":
            wait_for(ports[command], "/readyz", 503, says="starting")
            assert get(ports[command], "/healthz")[0] == 200
    monkeypatch.delenv("REFOLD_CLUSTER__HEALTH_PORT")
    for port in ports.values():
        wait_for(port, "/readyz", 200)
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(4):
        (pages / f"{number}.md").write_text(f"# Page {number}\n\nThe heron number {number} stands in the water.\n")
    world.cli("ingest", str(pages))
    worker, projector = ports["worker"], ports["projector"]
    assert metric(worker, "refold_slots_owned") == 4
    assert metric(worker, "refold_slot_taken_offset") >= 4
    assert metric(worker, "refold_document_events_total", kind="DocumentCompleted") == 4
    assert metric(worker, "refold_stage_duration_seconds_count", stage="PARSE") == 4
    assert metric(projector, "refold_projection_offset", projection="keyword") > 0
    assert metric(projector, "refold_projection_stopped") == 0
    assert metric(projector, "refold_ready") == 1
    for process in world.started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, world.logs()
    assert get(worker, "/healthz")[0] == 0
