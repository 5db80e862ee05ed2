"""Apicurio's schema registry, which keeps schemas in memory and speaks Confluent's interface."""

from __future__ import annotations

from pathlib import Path

from refold.local.packages import java, unpacked
from refold.local.server import LOOPBACK, Launch, Software, answers

PACKAGE = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"
HEAP = "-Xmx256m"


def launch(home: Path, port: int) -> Launch:
    """The registry on `port`; what it holds is gone when it stops."""
    del home
    program = unpacked("apicurio-2.6.13", PACKAGE)
    (runner,) = program.rglob("apicurio-registry-app-*-runner.jar")
    return Launch(
        command=[java(), HEAP, f"-Dquarkus.http.host={LOOPBACK}", f"-Dquarkus.http.port={port}", "-jar", str(runner)]
    )


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}/apis/ccompat/v7"


SOFTWARE = Software(
    launch=launch,
    is_healthy=lambda port: answers(f"{_url(port)}/subjects"),
    variables=lambda port: {"SCHEMA_REGISTRY_URL": _url(port)},
)
