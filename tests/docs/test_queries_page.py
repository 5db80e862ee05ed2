"""The examples of `ops/queries.md` find what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import refold
from projections.search.filters import FILTER_FORMS
from projections.search.fusion import RANK_CONSTANT
from projections.search.search import DEFAULT_LIMIT, SearchMode
from refold.settings.settings import Settings
from tests.commands.markdown_blocks import ROOT, code, rows, section
from tests.commands.pages import reader_environment, typed

PAGE = ROOT / "ops" / "queries.md"
QUERIES = {
    code(row[0])[0]: row[1] for row in rows(PAGE) if len(row) == 2 and re.search(r"\.(md|html|txt)$|^nothing$", row[1])
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_example_finds_what_the_page_says(tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    printed = dict(typed(PAGE, folder, reader_environment(tmp_path)))
    assert len(QUERIES) == 15

    async def all_found() -> dict[str, str]:
        async with refold.open(folder / "refold-data") as pipeline:
            answers = {query: await pipeline.search(query, mode="keyword") for query in QUERIES}
        return {
            query: " ".join(sorted(hit.uri.rsplit("/", 1)[1] for hit in answer.hits)) or "nothing"
            for query, answer in answers.items()
        }

    assert asyncio.run(all_found()) == QUERIES
    hits = {command: re.findall(r"^\d+\. (\S+)", said, re.MULTILINE) for command, said in printed.items()}
    assert hits['refold search "grey heron" --mode keyword'] == ["Herons"]
    assert hits['refold search "a café that serves tea" --mode vector --limit 1'] == ["Café"]
    assert hits['refold search water --filter "uri=*.html"'] == ["Otters"]
    milk = "refold search milk --filter metadata.team=kitchen --filter metadata.lang=en"
    assert hits[milk] == ["push:notes/milk"]
    assert sorted(hits['refold search water --filter media_type=text/markdown --filter "modified>=2020-01-01"']) == [
        "Café",
        "Herons",
    ]


def test_the_page_names_every_mode_and_every_filter() -> None:
    first = [code(row[0])[0] for row in rows(PAGE) if code(row[0])]
    assert [word for word in first if word in set(SearchMode)] == ["keyword", "vector", "hybrid"]
    assert [word for word in first if word in FILTER_FORMS] == list(FILTER_FORMS)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert f"1 / ({RANK_CONSTANT} + rank)" in page
    assert f"`--limit` is {DEFAULT_LIMIT} unless" in page
    assert f"({Settings().chunking.size:,} characters by default)" in section(PAGE, "## Phrases")
