"""What is told in several places is told the same way, and what is said to show a promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from projections.index.view import steps as index_steps
from streams.slot import slot
from tests.commands.markdown_blocks import ROOT, code, rows

TOLD_IN = [ROOT / "ops" / "architecture.md", ROOT / "ops" / "runbooks" / "commit-order.md"]
GUARANTEES = ROOT / "ops" / "guarantees.md"
GLOSSARY = ROOT / "ops" / "glossary.md"


def words_of(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.replace("*", "").split())


def steps(docstring: str | None, pattern: str) -> list[str]:
    """The numbered steps of a module's docstring."""
    return [words_of(step) for step in re.findall(pattern, docstring or "", re.MULTILINE | re.DOTALL)]


SLOT_STEPS = steps(slot.__doc__, r"^(\d\. .+?)$")
INDEX_STEPS = steps(index_steps.__doc__, r"^(\(\d\) .+?)(?=\n\(\d\)|\n\n)")


def test_the_steps_are_found() -> None:
    assert [step[0] for step in SLOT_STEPS] == ["1", "2", "3", "4"]
    assert [step[1] for step in INDEX_STEPS] == ["1", "2", "3"]


@pytest.mark.parametrize("page", TOLD_IN, ids=lambda page: page.stem)
@pytest.mark.parametrize("step", [*SLOT_STEPS, *INDEX_STEPS])
def test_a_page_tells_the_steps_of_a_commit_as_the_code_does(page: Path, step: str) -> None:
    assert step in words_of(page.read_text())


def test_the_bodies_are_numbered_like_the_docstrings() -> None:
    for module, numbers in ((slot, "1234"), (index_steps, "123")):
        comments = re.findall(r"^ +# \((\d)\)", Path(str(module.__file__)).read_text(), re.MULTILINE)
        assert comments == list(numbers)


def test_every_test_that_shows_a_promise_is_there() -> None:
    named = [name.partition("::") for name in code(GUARANTEES.read_text()) if name.startswith("tests/")]
    assert [name for name, _, _ in named if not (ROOT / name).exists()] == []
    assert [test for name, _, test in named if test and f"def {test}(" not in (ROOT / name).read_text()] == []


def test_every_promise_has_a_test() -> None:
    promises = re.split(r"^## \d\. ", GUARANTEES.read_text(), flags=re.MULTILINE)[1:]
    assert len(promises) == 7
    assert all("Shown by:" in promise for promise in promises)


def test_the_glossary_has_each_word_once_in_order() -> None:
    words = [row[0].strip("*") for row in rows(GLOSSARY) if row[0].startswith("**")]
    assert words == sorted(set(words))
