"""Pages as a reader works through them: every command and every Python block, typed in order in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.commands.markdown_blocks import ROOT, Block, blocks

TIMEOUT_S = 60


def reader_environment(scratch: Path) -> dict[str, str]:
    """A shell that finds `refold` and this Python, and no settings of whoever runs the tests."""
    programs = scratch / "programs"
    programs.mkdir()
    script = programs / "refold"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refold "$@"\n')
    script.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    return {**clean, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def typed(page: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each command or program of `page` with what it printed, once it has ended well."""
    folder.mkdir(exist_ok=True)
    for block in blocks(page):
        for command in _commands(block) if block.is_run else ():
            ran = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
            said = f"{page.name}:{block.line}: {command[-1]}\n{ran.stdout}{ran.stderr}"
            assert ran.returncode == 0, said
            assert "Traceback" not in ran.stderr, said
            yield command[-1], ran.stdout


def _commands(block: Block) -> list[list[str]]:
    if block.language == "python":
        return [[sys.executable, "-c", block.text]]
    return [["bash", "-c", command] for command in block.commands]
