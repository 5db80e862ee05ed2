"""Wherever the projections in SQL are listed, all of them are; and they are known to the engines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

from refold.engine.assembly import SQL_JOINING
from refold.engine.engine import INDEXES, SQL_VIEWS, Views
from tests.commands.markdown_blocks import ROOT

HISTORY = {"decisions", "scale.md", "one-machine.md"}
"""Pages that list what there was when they were written, or when it was measured."""


def names(line: str, view: str) -> bool:
    """Whether `line` names the view, as code or in prose."""
    return re.search(rf"\b{view.replace('_', '[_ ]')}\b", line) is not None


def lists() -> Iterator[tuple[Path, int, str]]:
    """Every line of pages, alerts and the shell's help and docstrings that lists the projections in SQL."""
    for path in sorted((*(ROOT / "ops").rglob("*"), *(ROOT / "refold").rglob("*.py"))):
        if path.suffix not in {".md", ".yml", ".py"} or HISTORY & set(path.parts):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if all(names(line, view) for view in ("manifest", "jobs", "stage_results")):
                yield path.relative_to(ROOT), number, line


def test_a_line_that_lists_the_projections_lists_them_all() -> None:
    found = list(lists())
    assert len(found) > 5
    short = [
        f"{path}:{number} does not name {view}"
        for path, number, line in found
        for view in SQL_VIEWS
        if not names(line, view)
    ]
    assert not short, "\n".join(short)


def test_the_page_of_the_data_folder_names_the_file_of_each_view() -> None:
    drawn = (ROOT / "ops" / "data-folder.md").read_text()
    for view in SQL_VIEWS:
        assert f"── {view}.sqlite " in drawn, "its tree of files does not show the file of this view"


def test_each_sql_view_is_a_field_of_views_and_has_a_joining() -> None:
    kinds = get_type_hints(Views)
    assert kinds.keys() == {*SQL_VIEWS, *INDEXES}
    assert {name: kinds[name] for name in SQL_VIEWS} == SQL_VIEWS
    assert [view.projection.name for view in SQL_VIEWS.values()] == list(SQL_VIEWS)
    assert SQL_JOINING.keys() == SQL_VIEWS.keys(), "a line in SQL_JOINING (refold/engine/assembly.py) is missing"
