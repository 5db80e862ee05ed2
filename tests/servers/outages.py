"""Servers of one's own, to be taken away and brought back while others use them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from refold.local.stack import Stack
from tests.servers.run import open_folder

AWAY_S = 60.0
"""How long OpenSearch is away: much longer than one call is tried."""


@contextmanager
def own_servers() -> Iterator[Sequence[Callable[[], str]]]:
    """Start every server, with its address in the environment; yields what takes them away, each for a while."""
    stack = Stack(open_folder() / "stack")
    try:
        for status in stack.up():
            os.environ.update(status.variables)
        yield [
            lambda: _restart(stack, "kafka"),
            lambda: _restart(stack, "opensearch", away_s=AWAY_S),
            lambda: _restart(stack, "postgres"),
            lambda: _restart(stack, "kafka"),
        ]
    finally:
        stack.down()
        shutil.rmtree(stack.folder.parent, ignore_errors=True)


def _restart(stack: Stack, name: str, *, away_s: float = 0.0) -> str:
    (server,) = stack._servers([name])
    server.stop()
    time.sleep(away_s)
    stack.up([name])
    return f"{name} was away for {away_s:.0f} s and more" if away_s else f"{name} was restarted"
