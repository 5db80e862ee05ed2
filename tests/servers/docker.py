"""Servers in containers, made as docker-compose.yml says, where a Docker engine answers.

This could not be run where it was written: no Docker answers there. What it takes from docker-compose.yml is checked by
`tests/unit/refold/local/test_compose_file.py`. Qdrant is not among them: tests decide when they are collected which
one they have.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from refold.local.folder_lock import locked
from refold.local.server import LOOPBACK, free_port
from refold.local.stack import SERVERS

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
PORTS: Mapping[str, int] = {"kafka": 9092, "registry": 8080, "opensearch": 9200, "postgres": 5432}
"""Where each server listens in its container."""

UP_TIMEOUT_S = 120.0
POLL_S = 0.2


def docker_answers() -> bool:
    """Whether there is an engine to start containers with."""
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return False
    try:
        import docker  # noqa: PLC0415 - of the extra `dev`

        return bool(docker.from_env(timeout=5).ping())
    except Exception:  # noqa: BLE001 - whatever it is: there is the next way to have servers
        return False


def start(server: str, folder: Path) -> Mapping[str, str]:
    """What clients of `server` read its address from, once it answers in a container; `folder` notes those of a run.

    Raises:
        TimeoutError: it does not come up.
        Exception: what the engine says, such as that an image cannot be had.
    """
    note = folder / f"{server}.json"
    with locked(folder):
        if not note.exists():
            note.write_text(json.dumps(_started(server)))
        return SERVERS[server].variables(json.loads(note.read_text())["port"])


def stop(folder: Path) -> None:
    """Remove the containers that `folder` notes."""
    for note in folder.glob("*.json"):
        import docker  # noqa: PLC0415 - of the extra `dev`

        docker.from_env().containers.get(json.loads(note.read_text())["container"]).remove(force=True, v=True)
        note.unlink()


def _started(server: str) -> Mapping[str, Any]:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - as above
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

    testcontainers_config.ryuk_disabled = True  # it would remove what others still use with the process that started it
    service, port = yaml.safe_load(COMPOSE.read_text())["services"][server], free_port()
    container = DockerContainer(service["image"]).with_bind_ports(PORTS[server], (LOOPBACK, port))
    container = container.with_envs(**_environment(server, service, port)).with_kwargs(hostname=server)
    container.start()
    try:
        _wait_until_healthy(container, service["healthcheck"]["test"][1:], server)
    except BaseException:
        container.stop()
        raise
    return {"container": container.get_wrapped_container().id, "port": port}


def _environment(server: str, service: Mapping[str, Any], port: int) -> dict[str, str]:
    environment: dict[str, str] = dict(service.get("environment", {}))
    if server == "kafka":
        advertised = f"PLAINTEXT://{LOOPBACK}:{port},INTERNAL://kafka:19092"
        environment["KAFKA_ADVERTISED_LISTENERS"] = advertised
        environment["KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"] = "0"
    return environment


def _wait_until_healthy(container: Any, check: list[str], server: str) -> None:
    deadline_s = time.monotonic() + UP_TIMEOUT_S
    while container.exec(check).exit_code != 0:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{server} does not answer in its container: {container.get_logs()[0][-500:]!r}")
        time.sleep(POLL_S)
