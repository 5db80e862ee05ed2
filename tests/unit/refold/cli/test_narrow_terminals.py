"""Tables fit into eighty columns: sentences stand below them, and what is seldom told only where there is something."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Mapping

import pytest

from refold.cli import consistency

CHILD = """
import os, sys
from refold.cli import {module} as module
module.call = lambda *_: {answer!r}
module.{command}()
"""


def on_a_terminal(module: str, command: str, answer: Mapping[str, object]) -> list[str]:
    """What a command shows of `answer` on a terminal of eighty columns."""
    shown = bytearray()
    child, descriptor = pty.fork()
    if child == 0:
        os.environ.update(COLUMNS="80", LINES="40", TERM="dumb")
        os.execv(sys.executable, [sys.executable, "-c", CHILD.format(module=module, command=command, answer=answer)])  # noqa: S606 - our own
    try:
        while piece := os.read(descriptor, 1024):
            shown += piece
    except OSError:
        pass  # how Linux says that the child has ended
    finally:
        os.waitpid(child, 0)
        os.close(descriptor)
    return shown.decode().splitlines()


@pytest.mark.parametrize(("foreign", "last"), [(0, "parked"), (7, "foreign")])
def test_verify_shows_its_seldom_counts_where_there_are_some(foreign: int, last: str) -> None:
    counts = {**dict.fromkeys(consistency.COUNTS, 0), "expected": 449_000, "foreign": foreign}
    answer = {"consistent": not foreign, "indexes": {"vector": counts, "keyword": counts}, "unavailable": []}
    lines = on_a_terminal("consistency", "verify", answer)
    assert last in lines[0].split()
    assert ("foreign" in lines[0].split()) == bool(foreign)
    assert lines[1].split()[:2] == ["vector", "449000"]
    assert lines[2].split()[:2] == ["keyword", "449000"]


def test_status_tells_what_is_wrong_below_its_table() -> None:
    error = "the keyword index is not where it was written, or another one stands in its place"
    view = {"name": "stage_results", "state": "open", "lag_events": 0, "lag_s": 0.0, "error": None, "hint": None}
    damaged = {"name": "keyword", "state": "damaged", "error": error, "hint": "refold rebuild keyword"}
    answer = {
        "documents": {},
        "projections": [view, damaged],
        "jobs": [],
        "size_bytes": 1,
        "data": "data",
        "format": 1,
    }
    lines = on_a_terminal("status", "status", answer)
    assert lines[0].split() == ["projection", "state", "lag_events", "lag_s", "documents", "chunks", "parked"]
    assert lines[2].split() == ["keyword", "damaged"]
    told = " ".join(line.strip() for line in lines[5:])
    assert f"warning: keyword: {error}" in told
    assert told.endswith("hint: refold rebuild keyword")
