"""docker-compose.yml, as far as it can be checked without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import refold
from refold.local.stack import SERVERS
from refold.settings.cluster import VARIABLES, ClusterSettings
from refold.settings.settings import load_settings

ROOT = Path(__file__).parents[4]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"worker", "projector", "topics", "schemas"}
ONCE = {"topics", "schemas"}
"""What ends by itself."""


def test_it_has_every_server_of_refold_dev_and_what_no_package_holds_and_our_own() -> None:
    assert set(SERVICES) == {*SERVERS, "qdrant", "prometheus", *OURS}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_each_service_is_pinned_limited_and_on_loopback_only(service: dict[str, Any]) -> None:
    assert service["image"].rpartition(":")[2] not in {"", "latest", service["image"]}
    assert service["mem_limit"]
    assert service["cpus"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_what_stays_is_checked_and_started_again_and_what_ends_is_not(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ONCE)
    if name not in ONCE:
        assert service["healthcheck"]["test"][0] == "CMD"


def test_every_named_volume_is_declared_and_used() -> None:
    used = {volume.partition(":")[0] for one in SERVICES.values() for volume in one.get("volumes", ())}
    assert {volume for volume in used if not volume.startswith("./")} == set(COMPOSE["volumes"])
    assert all((ROOT / volume).is_dir() for volume in used if volume.startswith("./"))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come(name: str) -> None:
    for other, waiting in SERVICES[name].get("depends_on", {}).items():
        ends = waiting["condition"] == "service_completed_successfully"
        assert ends == (other in ONCE)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_run_the_image_of_this_release_with_settings_that_hold(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SERVICES[name]
    assert service["image"] == f"refold:{refold.__version__}"
    assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.engine == "cluster"
    assert settings.cluster.artifacts == service["volumes"][0].partition(":")[2]
    assert (settings.cluster.health_host, settings.cluster.health_port) == ("0.0.0.0", 9464)  # noqa: S104 - a container's
    assert all(_is_set(settings.cluster, server) for server in (*VARIABLES, "kafka"))


def _is_set(cluster: ClusterSettings, server: str) -> bool:
    return bool(getattr(cluster, server))


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_addresses_of_servers_are_those_of_services_and_their_ports(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for variable in VARIABLES.values():
        host, _, port = environment[variable].split("://")[1].partition("/")[0].rpartition("@")[2].partition(":")
        assert any(published.endswith(f":{port}") for published in SERVICES[host]["ports"])


def test_the_corpus_is_the_same_for_topics_schemas_and_processes() -> None:
    corpus = SERVICES["worker"]["environment"]["REFOLD_CLUSTER__CORPUS"]
    assert f"refold.{corpus}." in SERVICES["schemas"]["command"]
    assert corpus in SERVICES["topics"]["command"]


@pytest.mark.parametrize("name", ["worker", "projector"])
def test_processes_are_checked_by_their_readiness_and_seen_by_prometheus(name: str) -> None:
    service = SERVICES[name]
    port = service["environment"]["REFOLD_CLUSTER__HEALTH_PORT"]
    assert f":{port}/readyz" in service["healthcheck"]["test"][-1]
    assert service["command"] == [name]
    scraped = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = [(one["names"], one["port"]) for job in scraped for one in job["dns_sd_configs"]]
    assert ([name], int(port)) in targets
