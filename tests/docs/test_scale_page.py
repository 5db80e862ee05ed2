"""The tables of ops/scale.md follow from the figures at its top: everything is computed here again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import ceil

import pytest

from projections.backends.qdrant.backend import POINT_BYTES
from streams.logs.topic_plan import load_topics
from tests.commands.markdown_blocks import ROOT

PAGE = ROOT / "ops" / "scale.md"
DAY_S = 86_400
SLOTS_PER_WORKER = 2
LEAST_PARTITIONS = 12
PROJECTORS_PER_CORPUS = 2

Figures = Mapping[str, float]


def tables(heading: str) -> list[list[str]]:
    """The rows of the table under `heading`, without its head."""
    part = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(cell: str) -> float:
    """What a cell says: thousands are parted by commas."""
    return float(cell.replace(",", "").replace("`", ""))


def figures() -> Figures:
    """The figures at the top, and what is assumed, by name."""
    rows = [*tables("What was measured"), *tables("What is assumed")]
    return {name.strip("`"): number(value) for name, value, *_ in rows}


def rounded(value: float) -> str:
    """As the page shows it: three digits, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def loading(f: Figures, documents: float, days: float) -> list[str]:
    """Documents a second, corpora, workers, projectors, partitions of each corpus, and how busy its manifest's is."""
    rate, corpora = documents / (days * DAY_S), number(rebuilding(f, documents)[2])
    per_corpus = ceil(rate / corpora / f["worker"])
    workers, projectors = per_corpus * corpora, PROJECTORS_PER_CORPUS * corpora
    partitions = ceil(per_corpus * SLOTS_PER_WORKER / LEAST_PARTITIONS) * LEAST_PARTITIONS
    share = rate / corpora * f["events"] / f["projector"]
    return [*map(rounded, (rate, corpora, workers, projectors, partitions)), f"{share:.1%}"]


def rebuilding(f: Figures, documents: float) -> list[str]:
    """Hours of one manifest over all, hours of a corpus, and how many corpora keep that within a day."""
    hours = documents * f["events"] / f["projector"] / 3_600
    corpora = ceil(hours / f["rebuild_hours"])
    return [rounded(hours), rounded(hours / corpora), rounded(corpora), rounded(documents / corpora)]


def storing(f: Figures, documents: float) -> list[str]:
    """GB with all copies: log, artifacts, PostgreSQL, OpenSearch, Qdrant, and their sum."""
    chunks = documents * f["chunks"]
    parts = [
        documents * f["log_bytes"] * f["log_copies"],
        chunks * f["artifact_bytes"] * f["artifact_copies"],
        documents * f["postgres_bytes"] * f["postgres_copies"],
        chunks * f["opensearch_bytes"] * f["opensearch_copies"],
        chunks * f["qdrant_bytes"] * f["qdrant_copies"],
    ]
    return [rounded(part / 1e9) for part in (*parts, sum(parts))]


def searching(f: Figures, documents: float) -> list[str]:
    """Chunks, their vectors in GB, seconds of one core per query, and cores for the longest wait allowed."""
    chunks = documents * f["chunks"]
    seconds = chunks * f["compare_ns"] / 1e9
    vectors = chunks * 4 * f["dimensions"] / 1e9
    return [rounded(chunks), rounded(vectors), rounded(seconds), rounded(ceil(seconds / f["query_s"]))]


TABLES: Mapping[str, Callable[..., Sequence[str]]] = {
    "Loading": loading,
    "Rebuilding the manifest": rebuilding,
    "Storage": storing,
    "Searching by meaning": searching,
}
"""How the rest of a row follows from its documents and, for loading, the days it may take."""

INPUTS = {"Loading": 2}


@pytest.mark.parametrize("heading", TABLES)
def test_every_row_follows_from_the_figures(heading: str) -> None:
    given = INPUTS.get(heading, 1)
    for row in tables(heading):
        told = [cell.replace("**", "") for cell in row]
        assert told[given:] == TABLES[heading](figures(), *map(number, told[:given]))


@pytest.mark.parametrize("heading", TABLES)
def test_each_table_tells_of_the_same_three_sizes(heading: str) -> None:
    assert [number(row[0]) for row in tables(heading)] == [1e6, 1e8, 1e10]


def test_a_worker_is_a_share_of_the_measured_cluster() -> None:
    f = figures()
    assert f["worker"] == round(f["cluster"] / f["workers"])


def test_the_least_partitions_are_those_of_the_plan() -> None:
    assert load_topics()["requests"].partitions == LEAST_PARTITIONS


def test_every_figure_that_a_formula_names_is_told() -> None:
    formulas = PAGE.read_text().split("\n## Loading\n")[1]
    named = set(re.findall(r"\*`(\w+)`\*", formulas))
    assert named - figures().keys() == set()


def test_what_status_estimates_of_a_collection_is_what_was_measured() -> None:
    (row,) = [row for row in tables("What was measured") if row[0] == "`qdrant_bytes`"]
    most, least = number(row[1]), number(row[2])
    assert least <= 4 * figures()["dimensions"] + POINT_BYTES <= most
