from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from refold.settings.settings import AGREED, OTHER_VARIABLES, PLANNING, Settings, load_settings
from tests.commands.markdown_blocks import ROOT, blocks, code, rows, section

PAGE = ROOT / "ops" / "settings.md"


def defaults(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every setting and its default, by dotted name."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from defaults(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.loads(model.model_construct().model_dump_json())[name]


def told() -> dict[str, object]:
    """Every setting of the page, and the default it tells."""
    settings = [row for row in rows(PAGE) if len(row) == 4 and row[0].startswith("`")]
    return {code(row[0])[0]: json.loads(code(row[1])[0]) for row in settings}


def test_the_page_tells_every_setting_with_its_default() -> None:
    assert told() == dict(defaults(Settings))


def test_every_default_has_a_reason() -> None:
    assert [row[0] for row in rows(PAGE) if row[0].startswith("`") and len(row[-1]) < 15] == []


def test_the_page_tells_what_owner_and_callers_agree_on() -> None:
    page = section(PAGE, "## What an owner and its callers must agree on")
    assert [word for word in code(page) if not word.startswith("refold ")] == [*AGREED, *PLANNING]


def test_the_page_tells_the_variables_that_are_no_settings() -> None:
    page = section(PAGE, "## Variables that are no settings")
    assert {name for name in code(page) if name.startswith("REFOLD_")} == OTHER_VARIABLES


def test_the_example_is_good(tmp_path: Path) -> None:
    example = next(block.text for block in blocks(PAGE) if block.language == "yaml")
    (tmp_path / "refold.yaml").write_text(example)
    assert load_settings(config=tmp_path / "refold.yaml").chunking.size == 800
