"""Health, readiness and metrics over real HTTP."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from refold.cluster.health.server import HealthServer
from schemas.errors import MachineError

TIMEOUT_S = 20.0


@contextmanager
def shown(*reasons: str, registry: CollectorRegistry | None = None) -> Iterator[HealthServer]:
    server = HealthServer(not_ready=lambda: reasons, registry=registry or CollectorRegistry())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: HealthServer, path: str, *, method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_that_lives_and_is_ready_says_so() -> None:
    with shown() as server:
        assert get(server, "/healthz") == (200, "ok\n")
        assert get(server, "/readyz") == (200, "ready\n")


def test_one_that_is_not_ready_lives_and_says_why_one_reason_a_line() -> None:
    with shown("manifest: the disk\nis full", "slot 3 stands") as server:
        assert get(server, "/readyz") == (503, "manifest: the disk is full\nslot 3 stands\n")
        assert get(server, "/healthz")[0] == 200


def test_readiness_that_cannot_be_told_is_none() -> None:
    def lost() -> Sequence[str]:
        raise RuntimeError("heron")

    server = HealthServer(not_ready=lost, registry=CollectorRegistry())
    server.start()
    assert get(server, "/readyz") == (503, "/readyz cannot be told: heron\n")
    assert get(server, "/healthz")[0] == 200
    server.stop()


def test_metrics_are_what_the_registry_collects_now() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("herons", "In the water.", registry=registry)
    with shown(registry=registry) as server:
        for count in (3, 4):
            gauge.set(count)
            (family,) = text_string_to_metric_families(get(server, "/metrics")[1])
            assert [(family.name, family.samples[0].value)] == [("herons", count)]


def test_head_gives_no_body_and_other_paths_are_not_there() -> None:
    with shown() as server:
        assert get(server, "/readyz?probe=1", method="HEAD") == (200, "")
        status, body = get(server, "/../etc/passwd")
        assert (status, "/healthz" in body) == (404, True)
        assert get(server, "/readyz", method="POST")[0] == 501


def test_a_client_that_says_nothing_does_not_keep_others_waiting_nor_the_end() -> None:
    with shown() as server, socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/healthz")[0] == 200


def test_an_answer_that_hangs_does_not_keep_others_waiting_nor_the_end() -> None:
    asked, told = threading.Event(), threading.Event()

    def hanging() -> Sequence[str]:
        asked.set()
        told.wait(TIMEOUT_S)
        return []

    server = HealthServer(not_ready=hanging, registry=CollectorRegistry())
    server.start()
    probe = threading.Thread(target=get, args=(server, "/readyz"))
    probe.start()
    assert asked.wait(TIMEOUT_S)
    assert get(server, "/healthz")[0] == 200
    server.stop()
    assert not told.is_set()
    told.set()
    probe.join()


def test_a_port_that_is_taken_is_told_with_a_hint() -> None:
    with shown() as server:
        again = HealthServer(port=server.port, not_ready=list, registry=CollectorRegistry())
        with pytest.raises(MachineError, match=f"127.0.0.1:{server.port} cannot be listened on") as caught:
            again.start()
        assert "cluster.health_port" in str(caught.value.hint)
        again.stop()


def test_after_the_end_nobody_listens_and_ending_twice_is_fine() -> None:
    with shown() as server:
        pass
    server.stop()
    with pytest.raises(urllib.error.URLError):
        get(server, "/healthz")
