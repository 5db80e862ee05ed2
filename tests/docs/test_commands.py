"""Every command that a page, a help text or a hint names is one that there is."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.command_line import command_names, commands
from tests.commands.markdown_blocks import ROOT, blocks, code
from tests.docs.test_links import PAGES

PACKAGES = ("schemas", "streams", "projections", "refold")
IN_A_SENTENCE = re.compile(r"(?:^|[:,;·] |then )refold (?!was )([a-z][a-z-]+)(?: ([a-z][a-z-]+))?")


def is_command(words: list[str]) -> bool:
    """Whether `words` begin with a command, or name a group of them."""
    known = command_names()
    groups = {name.split()[0] for name in known}
    return bool(words) and (
        words[0] in known or " ".join(words[:2]) in known or (len(words) == 1 and words[0] in groups)
    )


def named_in(page: Path) -> Iterator[list[str]]:
    """What follows `refold` in the commands of a page."""
    typed = [line for block in blocks(page) for line in block.text.splitlines()]
    for line in [*code(page.read_text()), *(line.removeprefix("$ ") for line in typed)]:
        if line.startswith("refold ") and "COMMAND" not in line and line != "refold --version":
            yield [word for word in shlex.split(line)[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]


def hints(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    within = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings | within:
            yield node.value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_commands_that_there_are(page: Path) -> None:
    assert [words for words in named_in(page) if not is_command(words)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_hints_and_help_name_commands_that_there_are(package: str) -> None:
    lost = [
        f"{path.relative_to(ROOT)}: refold {found[0]}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in hints(path)
        for found in IN_A_SENTENCE.finditer(text)
        if not is_command([word for word in found.groups() if word]) and not is_command([found[1]])
    ]
    assert lost == []


def test_every_command_has_help_and_an_example() -> None:
    assert [name for name, command in commands() if not (command.help and "refold" in (command.epilog or ""))] == []


def test_the_readme_or_a_page_names_every_command() -> None:
    named = {" ".join(words[:2]) for page in PAGES for words in named_in(page)}
    named |= {words[0] for page in PAGES for words in named_in(page) if words}
    assert command_names() - named == set()
