"""The drawing and the walks of `ops/architecture.md` are those of the code: every name, every folder, every step."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache

import pytest

from tests.commands.markdown_blocks import ROOT, blocks, code, section
from tests.commands.refold_cli import Cli
from tests.commands.traced_calls import Call, traced

PAGE = ROOT / "ops" / "architecture.md"
PACKAGES = ("schemas", "streams", "projections", "refold")
TO_THE_PARSER, TO_A_HIT = "## From a path to the parser", "## From a completed document to a hit"
MOST_FILES, MOST_RETURNS = 28, 4

Visit = tuple[str, list[str]]
"""A file that a walk comes to, and the functions that are read there."""


def walks(heading: str) -> list[list[Visit]]:
    """The walks under a heading: one for each table."""
    found: list[list[Visit]] = []
    for line in section(PAGE, heading).splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] == "#":
            found.append([])
        elif cells and cells[0].isdigit():
            assert int(cells[0]) == len(found[-1]) + 1
            found[-1].append((code(cells[1])[0], code(cells[2])))
    return found


def stays(walk: Sequence[Visit]) -> list[str]:
    """The functions of a walk, each with its file."""
    return [f"{file}::{function}" for file, functions in walk for function in functions]


def returns(walk: Sequence[Visit]) -> list[int]:
    """The rows of a walk that lead back to a file left before."""
    files = [file for file, _ in walk]
    return [row for row, file in enumerate(files, start=1) if file in files[: row - 1]]


(PARSER_WALK,), (INDEX_WALK, HIT_WALK) = walks(TO_THE_PARSER), walks(TO_A_HIT)


@cache
def defined(file: str) -> set[str]:
    """The functions and classes of a file, by their qualified names."""

    def names(body: Sequence[ast.stmt], prefix: str) -> set[str]:
        found = set()
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {f"{prefix}{node.name}"}
            if isinstance(node, ast.ClassDef):
                found |= names(node.body, f"{prefix}{node.name}.")
        return found

    return names(ast.parse((ROOT / file).read_text()).body, "")


def drawing() -> str:
    """The drawing that the page opens with."""
    return next(block.text for block in blocks(PAGE) if block.language == "mermaid")


def test_the_page_opens_with_the_drawing() -> None:
    assert PAGE.read_text().startswith("# Architecture\n\n```mermaid\n")


FOLDER = re.compile(rf"(?<![\w/])(?:{'|'.join(PACKAGES)})/(?:\w+/)*")


def test_the_drawing_shows_every_folder_of_the_packages_once() -> None:
    there = {f"{path.parent.relative_to(ROOT)}/" for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert sorted(FOLDER.findall(drawing())) == sorted(there)


def test_every_file_and_name_of_the_drawing_is_there() -> None:
    named, folder = [], ""
    for line in re.split(r"<br/>|\n", drawing()):
        folder = next(iter(FOLDER.findall(line)), folder)
        named += [(f"{folder}{file}", name) for file, name in re.findall(r"(\w+\.py) ([\w.]+)", line)]
    assert len(named) == drawing().count(".py ") > 15
    assert [(file, name) for file, name in named if name not in defined(file)] == []


@pytest.mark.parametrize("walk", [PARSER_WALK, INDEX_WALK, HIT_WALK])
def test_every_function_of_a_walk_is_there(walk: list[Visit]) -> None:
    assert len(walk) > 10
    assert [(file, name) for file, functions in walk for name in functions if name not in defined(file)] == []


def test_the_walk_to_the_parser_is_as_short_as_the_page_says() -> None:
    files = len({file for file, _ in PARSER_WALK})
    assert files <= MOST_FILES
    assert len(returns(PARSER_WALK)) <= MOST_RETURNS
    assert f"**{files} files, {len(returns(PARSER_WALK))} returns**" in section(PAGE, TO_THE_PARSER)


def test_the_returns_are_marked() -> None:
    lines = f"{section(PAGE, TO_THE_PARSER)}\n{section(PAGE, TO_A_HIT)}".splitlines()
    marked = [int(line.split("|")[1]) for line in lines if "| (return) " in line]
    assert marked == returns(PARSER_WALK) + returns(INDEX_WALK) + returns(HIT_WALK)


def test_eight_files_are_named_to_begin_with() -> None:
    listed = re.findall(r"^\d\. `([\w/.]+)`: ", section(PAGE, "## Eight files to read first"), re.MULTILINE)
    assert len(set(listed)) == 8
    assert [file for file in listed if not (ROOT / file).exists()] == []


# -- the walks as they are gone


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Call], list[Call]]:
    """What is called while a folder with one document is ingested, and while it is found."""
    scratch = tmp_path_factory.mktemp("walks")
    (scratch / "docs").mkdir()
    (scratch / "docs" / "walk.md").write_text("# A walk\n\nFrom a path to the parser.\n")
    cli = Cli(scratch / "data")
    names = stays(PARSER_WALK) + stays(INDEX_WALK)
    ingested = traced(cli, "ingest", str(scratch / "docs"), names=names, scratch=scratch / "ingest")
    return ingested, traced(cli, "search", "parser", names=stays(HIT_WALK), scratch=scratch / "search")


def gone(walk: Sequence[str], calls: Sequence[Call]) -> list[list[str]]:
    """The stack at each function of `walk`, each seen after the one before it, for as long as they come in order."""
    stacks: list[list[str]] = []
    for call in calls:
        while len(stacks) < len(walk) and walk[len(stacks)] in call.stack:
            stacks.append(call.stack)
    return stacks


def check(walk: Sequence[Visit], calls: Sequence[Call]) -> None:
    """A walk was gone in its order, and every caller of its functions is one of them, but for the first's callers."""
    names = stays(walk)
    stacks = gone(names, calls)
    assert names[len(stacks) :] == [], "not called, or not after those before"
    left_out = set()
    for name, stack in zip(names, stacks, strict=True):
        below = stack[stack.index(names[0]) if names[0] in stack else 0 : stack.index(name)]
        left_out |= {(caller, name) for caller in below if caller not in names}
    assert left_out == set(), "callers that the walk does not list, and what they call"


def test_an_ingest_goes_the_walk_to_the_parser(corpus: tuple[list[Call], list[Call]]) -> None:
    check(PARSER_WALK, corpus[0])


def test_a_completed_document_goes_the_walk_into_the_index(corpus: tuple[list[Call], list[Call]]) -> None:
    check(INDEX_WALK, [call for call in corpus[0] if call.thread == "projection-vector"])


def test_a_query_goes_the_walk_to_the_hit(corpus: tuple[list[Call], list[Call]]) -> None:
    check(HIT_WALK, corpus[1])


def test_a_walk_that_leaves_out_a_caller_is_not_that_of_the_code(corpus: tuple[list[Call], list[Call]]) -> None:
    shorter = [(file, [name for name in functions if name != "Slot.take_turn"]) for file, functions in PARSER_WALK]
    with pytest.raises(AssertionError, match="take_turn"):
        check(shorter, corpus[0])


def test_a_walk_in_another_order_is_not_that_of_the_code(corpus: tuple[list[Call], list[Call]]) -> None:
    with pytest.raises(AssertionError, match="not after"):
        check([*PARSER_WALK, PARSER_WALK[4]], corpus[0])
