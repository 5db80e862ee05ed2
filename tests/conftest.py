"""What every test may import: the helpers in this folder, by their file names; and what a run says of its servers."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import servers

sys.modules["tests.servers"] = servers  # by whichever name a test asks: the servers of a run are the same

STANDARD_ERROR = 2


def pytest_configure() -> None:
    """A run that is told to stop ends as any other does: the servers that it started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to stop", returncode=128 + signal.SIGTERM))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say on which servers backends ran; pytest's own line comes after it."""
    backends = sys.modules.get("index_backends")
    told = dict(servers.told)
    if backends is not None and "qdrant" not in told:
        told["qdrant"] = backends.QDRANT_RUNS
    if told:
        terminalreporter.section("servers")
        for server, what in sorted(told.items()):
            terminalreporter.line(f"{server}: {what}")


def pytest_unconfigure(config: Any) -> None:
    """Leave nothing on servers, and no server that was started here."""
    views = sys.modules.get("tests.sql_views")
    if views is not None:
        views.drop_schemas()
    # The last line is pytest's own: no client that a test left behind is to say after it that its server is gone.
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()  # which would put the old one back
    os.dup2(os.open(os.devnull, os.O_WRONLY), STANDARD_ERROR)
    servers.stop()
