"""What a process has loaded when a command has run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tests.commands.refold_cli import ROOT

COMMAND = """
import atexit, gc, json, sys
from refold.cli import main

def tell():
    seen = {"loaded": sorted(sys.modules), "uncollected": gc.get_freeze_count()}
    if sys.platform == "linux":
        seen["has_weights"] = "safetensors" in open("/proc/self/maps").read()
    sys.stderr.write(json.dumps(seen))

atexit.register(tell)
sys.argv = ["refold", *sys.argv[1:]]
main()
"""


def commanded(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """What a process of its own has loaded when `refold` has run with `arguments`."""
    ran = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    seen: dict[str, Any] = json.loads(ran.stderr.splitlines()[-1])  # after what it logs
    return seen
