from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands.markdown_blocks import ROOT, links

MANY = 30
"""Modules name far more files."""

PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("ops/**/*.md"))


def anchors(path: Path) -> set[str]:
    """What a page's headings are called in links: GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in links(page):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        place = (page.parent / target).resolve() if target else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_the_project_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(
        r"`((?:schemas|streams|projections|refold|tests|ops)/[\w/.]+\.(?:py|md|avsc))`", page.read_text()
    )
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


MODULES = [
    path for name in ("schemas", "streams", "projections", "refold", "tests") for path in ROOT.glob(f"{name}/**/*.py")
]
NAMED = re.compile(r"(?<![\w/.])(?:schemas|streams|projections|refold|tests)/[\w/]+\.(?:py|avsc)\b")


def test_every_file_of_the_project_that_a_module_names_exists() -> None:
    named = {(path.relative_to(ROOT), name) for path in MODULES for name in NAMED.findall(path.read_text())}
    assert len(named) > MANY
    assert [pair for pair in sorted(named) if not (ROOT / pair[1]).exists()] == []


def test_every_page_in_ops_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.suffix != ".md" or page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
        for target in targets:
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert [page for page in PAGES if page not in reached] == []
