"""Markdown files as tests see them: fenced blocks, links and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run by the docs tests: .+ -->\s*\Z", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block; `is_run` is False where a comment before it says why it cannot be."""

    language: str
    text: str
    line: int
    is_run: bool

    @property
    def commands(self) -> list[str]:
        """What a reader would type."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a file."""
    text = path.read_text()
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        comment = before[before.rfind("<!--") :] if "<!--" in before else ""
        yield Block(fence[1], fence[2], before.count("\n") + 1, _NOT_RUN.fullmatch(comment) is None)


def links(path: Path) -> list[str]:
    """Where a file's links lead, code left out."""
    return _LINK.findall(_FENCE.sub("", path.read_text()))


def rows(path: Path) -> Iterator[list[str]]:
    """The rows of all tables of a file, as cells; a vertical bar within a cell is written ``\\|``."""
    for line in path.read_text().splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(text: str) -> list[str]:
    """What is written in backticks."""
    return _CODE.findall(text)


def section(path: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    level = heading.split(" ", maxsplit=1)[0]
    text = path.read_text()
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = text.find(f"\n{level} ", start)
    return text[start : end if end >= 0 else None]
