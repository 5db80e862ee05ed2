"""What the README tells people to type, typed in its order in one empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.markdown_blocks import ROOT, Block, blocks

README = ROOT / "README.md"
TIMEOUT_S = 60


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell that finds `refold` and this Python, and no settings of whoever runs the tests."""
    programs = tmp_path / "programs"
    programs.mkdir()
    script = programs / "refold"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refold "$@"\n')
    script.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    return {**clean, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def typed(block: Block) -> list[list[str]]:
    """A block as commands to run."""
    if block.language == "python":
        return [[sys.executable, "-c", block.text]]
    return [["bash", "-c", command] for command in block.commands]


@pytest.mark.slow
@pytest.mark.timeout(900)  # 36 processes; a machine that does other things too needs four minutes
def test_every_command_and_every_python_block_of_the_readme_works(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    folder.mkdir()
    for block in blocks(README):
        if not block.is_run:
            continue
        for command in typed(block):
            ran = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
            assert ran.returncode == 0, f"README.md:{block.line}: {command[-1]}\n{ran.stdout}{ran.stderr}"
            assert "Traceback" not in ran.stderr


def test_only_console_bash_and_python_blocks_are_used() -> None:
    assert {block.language for block in blocks(README)} <= {"console", "bash", "python"}


def test_every_console_block_has_a_command() -> None:
    lacking = [block.line for block in blocks(README) if block.language != "python" and not block.commands]
    assert lacking == []


def test_few_blocks_of_the_readme_are_not_run() -> None:
    skipped = [block for block in blocks(README) if not block.is_run]
    assert len(skipped) <= 3
    assert {command.split()[0] for block in skipped for command in block.commands} <= {"make", "pip"}
