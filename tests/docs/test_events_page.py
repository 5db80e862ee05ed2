from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from typing import Any

import pytest

from schemas import events
from schemas.events import TOPICS, ArtifactRef, Finding, Meta, StageReport, StageTotals, VectorsRef
from tests.commands.markdown_blocks import ROOT, code

PAGE = ROOT / "ops" / "events.md"
NESTED = (Meta, ArtifactRef, Finding, StageReport, VectorsRef, StageTotals)


def sections() -> Iterator[tuple[str, str, str]]:
    """The heading of the second level, that of the third, and what stands below it."""
    for chapter in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, *entries = re.split(r"^### ", chapter, flags=re.MULTILINE)
        for entry in entries:
            name, _, text = entry.partition("\n")
            yield title.strip().partition("\n")[0], name, text


def told(name: str) -> str:
    return next(text for _, entry, text in sections() if entry == name)


def told_fields(name: str) -> list[str]:
    return [code(line)[0] for line in told(name).splitlines() if line.startswith("| `")]


def test_each_topic_tells_its_events() -> None:
    page = {topic: [name for chapter, name, _ in sections() if chapter == topic] for topic in TOPICS}
    assert page == {topic: [kind.__name__ for kind in kinds] for topic, kinds in TOPICS.items()}


@pytest.mark.parametrize("kind", [kind for kinds in TOPICS.values() for kind in kinds], ids=lambda kind: kind.__name__)
def test_every_field_of_an_event_is_told(kind: type[Any]) -> None:
    assert told_fields(kind.__name__) == [field.name for field in fields(kind) if field.name != "meta"]
    assert "Written by: " in told(kind.__name__)


@pytest.mark.parametrize("kind", NESTED, ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_within_events_is_told(kind: type[Any]) -> None:
    assert told_fields(kind.__name__) == [field.name for field in fields(kind)]


def test_every_symbol_of_every_enum_is_told() -> None:
    enums = [getattr(events, name) for name in events.__all__]
    for enum in (kind for kind in enums if isinstance(kind, type) and issubclass(kind, StrEnum)):
        symbols = code(told(enum.__name__).strip().splitlines()[-1])
        assert symbols == [str(symbol.value) for symbol in enum], enum
