from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
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
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


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
