"""docker-compose.yml, as far as it can be checked without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from refold.local.stack import SERVERS

FILE = Path(__file__).parent.parent.parent / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())


def test_it_has_every_server_of_refold_dev_and_qdrant() -> None:
    assert set(COMPOSE["services"]) == {*SERVERS, "qdrant"}


@pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])
def test_each_service_is_pinned_checked_limited_and_on_loopback_only(service: dict[str, Any]) -> None:
    assert service["image"].rpartition(":")[2] not in {"", "latest", service["image"]}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["mem_limit"]
    assert service["cpus"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_named_volume_is_declared_and_used() -> None:
    used = {volume.partition(":")[0] for one in COMPOSE["services"].values() for volume in one.get("volumes", ())}
    assert used == set(COMPOSE["volumes"])
