"""The second table of `ops/one-machine.md` follows from the first."""

from __future__ import annotations

from tests.commands.markdown_blocks import ROOT, code, rows

PAGE = ROOT / "ops" / "one-machine.md"
MEASURED_CHUNKS = 100_000


def number(cell: str) -> float:
    """What a cell says: thousands are separated by commas."""
    return float(cell.replace(",", ""))


def figures() -> dict[str, float]:
    """The measured figures by name."""
    return {code(name)[0]: number(value) for name, value, *rest in rows(PAGE) if len(rest) == 2 and code(name)}


def follows(chunks: float) -> list[str]:
    """Room in GB, hours of the first ingest, minutes of a rebuild, and milliseconds of a vector search."""
    f = figures()
    room = sum(value for name, value in f.items() if name.endswith("_bytes")) * chunks
    rebuild_s = chunks / f["rebuild_vector"] + chunks / f["rebuild_keyword"]
    search_ms = f["vector_ms"] * chunks / MEASURED_CHUNKS
    return [f"{value:.3g}" for value in (room / 1e9, chunks / f["ingest"] / 3_600, rebuild_s / 60, search_ms)]


def test_the_second_table_follows_from_the_first() -> None:
    derived = [row for row in rows(PAGE) if len(row) == 5 and row[0][0].isdigit()]
    assert [number(row[0]) for row in derived] == [1e4, 1e5, 1e6]
    assert [row[1:] for row in derived] == [follows(number(row[0])) for row in derived]
