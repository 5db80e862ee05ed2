"""What the README tells people to type, typed in its order in one empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.markdown_blocks import ROOT, blocks
from tests.commands.pages import reader_environment, typed

README = ROOT / "README.md"


@pytest.mark.slow
@pytest.mark.timeout(900)  # 36 processes; a machine that does other things too needs four minutes
def test_every_command_and_every_python_block_of_the_readme_works(tmp_path: Path) -> None:
    assert len(list(typed(README, tmp_path / "somewhere", reader_environment(tmp_path)))) > 30


def test_only_console_bash_and_python_blocks_are_used() -> None:
    assert {block.language for block in blocks(README)} <= {"console", "bash", "python"}


def test_every_console_block_has_a_command() -> None:
    lacking = [block.line for block in blocks(README) if block.language != "python" and not block.commands]
    assert lacking == []


def test_few_blocks_of_the_readme_are_not_run() -> None:
    skipped = [block for block in blocks(README) if not block.is_run]
    assert len(skipped) <= 3
    assert {command.split()[0] for block in skipped for command in block.commands} <= {"make", "pip"}
