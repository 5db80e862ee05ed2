"""A command that is forwarded to an owner of the release before is answered as by one of this release.

The answers are what the first release (a020b48) has sent, shortened.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from refold.cli.app import app
from refold.control.messages import Call
from refold.control.server import ControlServer
from refold.engine.data_folder import DataFolder, Ownership

VIEW = {"name": "jobs", "position": "", "lag_events": 0, "lag_s": 0.0, "heartbeat_at": None, "error": None}
INDEX = {"expected": 1, "missing": 0, "orphaned": 0, "stale": 0, "corrupt": 0, "parked": 0, "awaiting": 0}
INGESTED = {"job_id": "j", "outcome": "SUCCEEDED", "requested": 1, "completed": 1, "skipped": 0, "failed": 0}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "status": {
        "data": "data",
        "format": 1,
        "size_bytes": 9,
        "position": "",
        "documents": {"live_documents": 1},
        "projections": [
            VIEW,
            {**VIEW, "name": "vector", "lag_events": 3},
            {"name": "keyword", "error": "the keyword index is gone", "hint": "refold rebuild keyword"},
        ],
        "jobs": [],
    },
    "search": {"hits": [], "positions": {}, "took_ms": 1.0, "mode": "hybrid"},
    "verify": {
        "consistent": True,
        "deep": False,
        "indexes": {"vector": {**INDEX, "misserved": 0, "unreadable": 0, "generation": "g1", "examples": []}},
    },
    "plan": {"documents": [], "counts": {"add": 0}, "is_cut": False},
    "ingest": {
        **INGESTED,
        "removed": 0,
        "cancelled": 0,
        "unchanged": 0,
        "not_started": 0,
        "chunks": 1,
        "seconds": 1.0,
        "documents_per_s": 1.0,
        "searchable": True,
        "position": "",
    },
}
ARGUMENTS = {"search": ["search", "whales"], "plan": ["plan", "."], "ingest": ["ingest", "."]}


def answered(data: Path, words: list[str], answer: Mapping[str, Any]) -> str:
    """The output of a command in a folder whose owner sends `answer`, by the real socket."""
    folder, loop = DataFolder(data), asyncio.new_event_loop()
    folder.create()

    def send(_call: Call, _emit: Any, _left: threading.Event) -> Mapping[str, Any]:
        return answer

    server = ControlServer(folder.path, send)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    with Ownership(folder) as ownership:
        ownership.take(1)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        result = CliRunner().invoke(app, [*words, "--data", str(data)], catch_exceptions=False)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    return result.output


@pytest.mark.parametrize("command", ANSWERS)
def test_a_command_understands_the_owner_of_the_release_before(tmp_path: Path, command: str) -> None:
    told = answered(tmp_path / "data", ARGUMENTS.get(command, [command]), ANSWERS[command])
    assert told
    assert "internal error" not in told


def test_what_an_owner_of_the_release_before_left_out_is_in_the_json(tmp_path: Path) -> None:
    told = answered(tmp_path / "status", ["status", "--json"], ANSWERS["status"])
    states = {one["name"]: (one["state"], one["hint"]) for one in json.loads(told)["projections"]}
    assert states == {
        "jobs": ("open", None),
        "vector": ("behind", None),
        "keyword": ("damaged", "refold rebuild keyword"),
    }
    told = answered(tmp_path / "search", ["search", "whales", "--json"], ANSWERS["search"])
    assert json.loads(told) == {**ANSWERS["search"], "behind": {}, "parked": [], "unavailable": [], "unreadable": []}
