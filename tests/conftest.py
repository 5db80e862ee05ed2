"""One run of the tests: its order, its processes, and the servers that it starts, shares and stops."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import run as servers

# A run begins thousands of processes. Where none may keep what it has compiled, each compiles all of refold again, a
# quarter of its time. What is kept lies in `__pycache__`, out of git's sight.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TESTS = Path(__file__).parent
STANDARD_ERROR = 2

MOST_PROCESSES = 4
"""They share one server of each kind."""

LONG_FIRST = ("cluster", "crash", "integration", "e2e", "docs", "contract")
"""Folders of long modules. They are begun first: one that is begun last leaves the other processes of a run idle."""


def pytest_configure(config: Any) -> None:
    """A run that is told to stop ends as any other does: the servers that it started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to stop", returncode=128 + signal.SIGTERM))
    if _is_worker(config):
        servers.share(Path(config.workerinput["servers"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders of long modules come first; within one the order stays."""
    items.sort(key=lambda item: _turn(item.path.relative_to(TESTS).parts[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than processors, for some wait for servers at any time; beyond MOST_PROCESSES most do."""
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the servers of this run are."""
    node.workerinput["servers"] = str(servers.run_folder())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: Any) -> None:
    """Leave nothing on servers, and hand what a worker has learnt of them to the process that sums up."""
    views = sys.modules.get("tests.servers.sql_views")
    if views is not None:
        views.drop_schemas()
    backends = sys.modules.get("tests.servers.index_backends")
    if backends is not None:
        backends.drop_leftovers()
    if _is_worker(session.config):
        session.config.workeroutput["servers"] = _told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker tells; one that died tells nothing."""
    servers.told.update(getattr(node, "workeroutput", {}).get("servers", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say on which servers backends ran; pytest's own line comes after it."""
    told = _told()
    if told:
        terminalreporter.section("servers")
        for server, what in sorted(told.items()):
            terminalreporter.line(f"{server}: {what}")


def pytest_unconfigure(config: Any) -> None:
    """Leave no server that was started here: the workers that used them have ended."""
    # The last line is pytest's own: no client that a test left behind is to say after it that its server is gone.
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()  # which would put the old one back
    os.dup2(os.open(os.devnull, os.O_WRONLY), STANDARD_ERROR)
    if not _is_worker(config):
        servers.stop()


def _turn(folder: str) -> int:
    return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)


def _is_worker(config: Any) -> bool:
    return hasattr(config, "workerinput")


def _told() -> dict[str, str]:
    backends = sys.modules.get("tests.servers.index_backends")
    qdrant = {"qdrant": backends.QDRANT_RUNS} if backends is not None else {}
    return {**qdrant, **servers.told}
