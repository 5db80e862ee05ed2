"""`ops/file-types.md` names every media type that is read, with its suffixes and its parser, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from refold.settings.settings import Settings
from streams.stages import media_types
from streams.stages.fingerprints import MAX_PAGES
from streams.stages.media_types import PAGED_MEDIA_TYPES, PARSERS_BY_MEDIA_TYPE
from streams.stages.parsers import archive
from tests.commands.markdown_blocks import ROOT, code, rows
from tests.commands.pages import reader_environment, typed

PAGE = ROOT / "ops" / "file-types.md"


def parser_in(cell: str) -> str:
    """The constant in `media_types` whose parser a cell of the page names."""
    return cell.lower().replace(" ", "_")


def suffixes() -> dict[str, set[str]]:
    """The suffixes that say something, by media type."""
    found = defaultdict(set)
    for suffix, media_type in {**media_types._TEXT_SUFFIXES, **media_types._BINARY_SUFFIXES}.items():
        found[media_type].add(suffix)
    return found


def test_the_page_names_every_media_type_with_its_suffixes_its_parser_and_whether_it_has_pages() -> None:
    on_page = {
        code(row[0])[0]: (set(code(row[1])), parser_in(row[2]), row[3])
        for row in rows(PAGE)
        if len(row) == 4 and "`" in row[0]
    }
    known = suffixes()
    in_code = {
        media_type: (known[media_type], parser, "yes" if media_type in PAGED_MEDIA_TYPES else "no")
        for media_type, parser in PARSERS_BY_MEDIA_TYPE.items()
    }
    assert on_page == in_code, f'compare the table "What is read" of {PAGE} with media_types.py'


def test_the_page_says_what_each_parser_takes_out() -> None:
    on_page = {parser_in(row[0]) for row in rows(PAGE) if len(row) == 3}
    assert on_page >= set(PARSERS_BY_MEDIA_TYPE.values()), f'a parser has no row under "What is taken out" in {PAGE}'


def test_the_limits_are_those_of_the_code() -> None:
    on_page = {row[0]: (row[1], row[2].strip("`")) for row in rows(PAGE) if len(row) == 3}
    limits = Settings().limits
    assert on_page["size of the file"] == (f"{limits.document_bytes >> 20} MiB", "limits.document_bytes")
    assert on_page["length of its text"] == (f"{limits.text_chars:,} characters", "limits.text_chars")
    assert on_page["pages"] == (f"{MAX_PAGES:,}", "fixed")
    assert on_page["time in the parser"] == (f"{limits.parse_timeout_s:.0f} s", "limits.parse_timeout_s")
    assert on_page["memory of the parser (Linux)"] == (f"{limits.memory_bytes >> 30} GiB", "limits.memory_bytes")
    (members,) = (row for row in on_page if row.startswith("parts of a zipped file"))
    assert on_page[members] == (f"{archive.MAX_MEMBERS:,}", "fixed")
    most, ratio, always = (
        archive.MAX_UNPACKED_BYTES >> 20,
        archive.MAX_RATIO,
        archive.ALWAYS_UNPACKED_BYTES >> 20,
    )
    said = f"{most} MiB, and {ratio} times its packed size if that is more than {always} MiB"
    assert on_page["size of a zipped file when unpacked"] == (said, "fixed")


@pytest.mark.slow
def test_the_example_works(tmp_path: Path) -> None:
    *_, (_, printed) = typed(PAGE, tmp_path / "somewhere", reader_environment(tmp_path))
    assert printed.startswith("succeeded: 2 completed")
