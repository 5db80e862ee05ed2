"""The calls of a command's functions as they happen, in all of its threads and in the processes of its pool."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.commands.refold_cli import ROOT, Cli

# Python imports a module of this name at the start of every process that finds it on its path.
SITE = """
import json, os, sys, threading, time

root, names = os.environ["TRACED_ROOT"] + "/", set(os.environ["TRACED_NAMES"].split())
out = os.open(os.environ["TRACED_INTO"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def name_of(code):
    return code.co_filename.removeprefix(root) + "::" + code.co_qualname.split(".<locals>")[0]

def note(frame, event, _):
    if event != "call" or not frame.f_code.co_filename.startswith(root) or name_of(frame.f_code) not in names:
        return
    at, stack = time.monotonic_ns(), []
    while frame is not None:
        if frame.f_code.co_filename.startswith(root) and frame.f_code.co_name != "<module>":
            stack.append(name_of(frame.f_code))
        frame = frame.f_back
    os.write(out, (json.dumps([at, threading.current_thread().name, stack[::-1]]) + "\\n").encode())

threading.setprofile(note)
sys.setprofile(note)
"""


@dataclass(frozen=True)
class Call:
    """A call: the thread it was made in, and the project's functions on the stack, the called one last."""

    thread: str
    stack: list[str]


def traced(cli: Cli, *arguments: str, names: Iterable[str], scratch: Path) -> list[Call]:
    """The calls of the functions `names` (``file::qualified name``), in order, while `refold` runs with `arguments`."""
    site, written = scratch / "site", scratch / "calls.jsonl"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(SITE)
    environment = {
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "TRACED_ROOT": str(ROOT),
        "TRACED_NAMES": " ".join(names),
        "TRACED_INTO": str(written),
    }
    replace(cli, environment={**cli.environment, **environment})(*arguments)
    calls = sorted(json.loads(line) for line in written.read_text().splitlines())
    return [Call(thread, stack) for _, thread, stack in calls]
