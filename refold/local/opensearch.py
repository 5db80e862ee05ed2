"""OpenSearch: one node without plug-ins, and so without TLS and users, for loopback only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from refold.local.packages import java, unpacked
from refold.local.server import LOOPBACK, Launch, Software, answers, let_in

PACKAGE = "org.opensearch.distribution.integ-test-zip:opensearch:3.3.0:zip"
JAVA = 21
HEAP = "-Xms512m -Xmx512m"
USER = "nobody"
"""The server refuses to be root's."""

_SETTINGS = """cluster.name: refold-local
discovery.type: single-node
network.host: {host}
http.port: {port}
transport.port: 0
path.data: {home}/data
path.logs: {home}/logs
cluster.routing.allocation.disk.threshold_enabled: false
"""

_MODULE = "jdk.incubator.vector"  # of newer runtimes only, which then refuse to start without it


def launch(home: Path, port: int) -> Launch:
    """OpenSearch on `port`, with a copy of the program: it writes beside itself."""
    program = home / "program"
    if not program.exists():
        _install(home, program)
    (program / "config" / "opensearch.yml").write_text(_SETTINGS.format(host=LOOPBACK, port=port, home=home))
    return Launch(
        command=[str(program / "bin" / "opensearch")],
        environment={
            "OPENSEARCH_JAVA_HOME": str(Path(java(JAVA)).parent.parent),
            "OPENSEARCH_JAVA_OPTS": HEAP,
            "OPENSEARCH_TMPDIR": str(home / "tmp"),
            "HOME": str(home),
        },
        user=USER,
    )


def _install(home: Path, program: Path) -> None:
    (source,) = (folder for folder in unpacked("opensearch-3.3.0", PACKAGE).iterdir() if folder.is_dir())
    making = home / "program.new"
    shutil.rmtree(making, ignore_errors=True)  # of an installation that was cut short
    shutil.copytree(source, making)
    for started in (making / "bin").iterdir():
        started.chmod(0o755)  # an archive of Java's does not say what may be run
    options = making / "config" / "jvm.options"
    options.write_text("".join(line for line in options.read_text().splitlines(keepends=True) if _MODULE not in line))
    for name in ("data", "logs", "tmp"):
        (home / name).mkdir(exist_ok=True)
    if os.geteuid() == 0:
        _give_away(home, making)
    making.rename(program)


def _give_away(home: Path, making: Path) -> None:
    let_in(home, USER)
    for path in (home / "data", home / "logs", home / "tmp", making, *making.rglob("*")):
        shutil.chown(path, USER)


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


SOFTWARE = Software(
    launch=launch,
    is_healthy=lambda port: answers(f"{_url(port)}/_cluster/health?wait_for_status=yellow&timeout=1s"),
    variables=lambda port: {"OPENSEARCH_URL": _url(port)},
)
