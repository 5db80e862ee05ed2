from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands.watched_command import commanded

ROOT = Path(__file__).parents[3]
LIMIT_S = 0.150
RUNS = 5

WATCHED_IMPORT = """
import json, sys, time
before, opened, connected = set(sys.modules), [], []

def watch(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event.startswith(("socket.", "sqlite3.", "subprocess.")):
        connected.append(event)

sys.addaudithook(watch)
began_s = time.perf_counter()
import NAME
seconds = time.perf_counter() - began_s
loaded = sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))
print(json.dumps({"seconds": seconds, "loaded": loaded, "opened": list(opened), "connected": list(connected)}))
"""


def imported(name: str) -> dict[str, Any]:
    """What a process of its own sees while it imports `name`."""
    script = WATCHED_IMPORT.replace("import NAME", f"import {name}")
    ran = subprocess.run([sys.executable, "-B", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one document."""
    documents = tmp_path_factory.mktemp("documents")
    (documents / "start.md").write_text("# What a start costs\n")
    data = tmp_path_factory.mktemp("corpus") / "data"
    subprocess.run(
        [sys.executable, "-m", "refold", "ingest", str(documents), "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return data


def test_importing_refold_takes_less_than_150_ms() -> None:
    # On a machine so busy that asyncio alone takes longer than that, refold must not take longer than asyncio.
    seconds = min(imported("refold")["seconds"] for _ in range(RUNS))
    assert seconds < max(LIMIT_S, imported("asyncio")["seconds"])


def test_importing_refold_loads_no_other_package() -> None:
    assert imported("refold")["loaded"] == ["refold"]


def test_importing_refold_opens_nothing_but_modules() -> None:
    seen = imported("refold")
    assert [path for path in seen["opened"] if not path.endswith((".py", ".pyc"))] == []
    assert seen["connected"] == []


def test_filters_and_events_come_without_the_machinery() -> None:
    loaded = imported("refold; refold.errors_only; refold.events.DocumentCompleted; refold.Position")["loaded"]
    assert loaded == ["refold", "schemas"]


def test_every_public_name_can_be_had() -> None:
    import refold  # noqa: PLC0415 - the other tests watch the first import in processes of their own

    assert [name for name in refold.__all__ if getattr(refold, name, None) is None] == []


UNUSED = {"kreuzberg", "structlog", "httpx", "qdrant_client", "opensearchpy", "psycopg"}
NEEDLESS = {
    ("status", "--help"): UNUSED | {"sqlalchemy", "numpy"},
    ("status",): UNUSED | {"numpy.ma"},
    ("search", "start"): UNUSED,
    ("jobs", "list"): UNUSED | {"numpy.ma"},
    ("log", "tail"): UNUSED | {"numpy.ma"},
}


@pytest.mark.parametrize("command", NEEDLESS, ids=" ".join)
def test_a_command_loads_no_library_that_it_has_no_use_for(command: tuple[str, ...], folder: Path) -> None:
    assert NEEDLESS[command] & set(commanded(*command, "--data", str(folder))["loaded"]) == set()


def test_what_a_command_leaves_in_memory_is_not_searched_for_rubbish_at_its_end(folder: Path) -> None:
    seen = commanded("status", "--data", str(folder))
    assert seen["uncollected"] > len(seen["loaded"])


@pytest.mark.skipif(
    sys.platform != "linux", reason="the weights of the embedder are seen among what is mapped: proc(5)"
)
@pytest.mark.parametrize(("command", "has_weights"), [(("status",), False), (("search", "start"), True)])
def test_only_a_command_that_embeds_loads_the_embedder(
    command: tuple[str, ...], folder: Path, *, has_weights: bool
) -> None:
    assert commanded(*command, "--data", str(folder))["has_weights"] == has_weights


@pytest.mark.parametrize("module", ["refold.cluster.client.wiring", "refold.cluster.worker.wiring"])
def test_drivers_of_indexes_are_loaded_by_who_opens_one(module: str) -> None:
    assert set(imported(module)["loaded"]) & {"qdrant_client", "grpc", "opensearchpy", "aiohttp"} == set()


def test_the_command_line_comes_without_the_machinery_for_who_asks_for_help_or_is_forwarded() -> None:
    assert (
        set(imported("refold.cli.app")["loaded"]) & {"sqlalchemy", "numpy", "fastavro", "structlog", "tokenizers"}
        == set()
    )
