"""Four small documents in four formats, so that the demo has something to search besides the project's own docs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from refold.demo.formats import Article, docx_of, html_of, pdf_of

WRITTEN_AT_S = 1_700_000_000
"""Modification time of the files: old enough for the next ingest to trust it without reading them."""

TIDES = """
# How tides work

## Two bulges

The Moon pulls the near side of the Earth more strongly than its centre, and the far side less. The difference
stretches the oceans along the line to the Moon into two bulges, one on each side.

A coast turns through both of them in a day, so most coasts have high water twice a day. Meanwhile the Moon moves on in
its orbit, which is why high water comes about fifty minutes later every day.

## Spring tides and neap tides

The Sun raises tides too, a little less than half as high. At new moon and at full moon both pull along one line and
the range is greatest: spring tides. At the quarters they work against each other: neap tides.
"""

LIGHTHOUSES = """
# Lighthouses and their lenses

## Fires on towers

The first sea marks with lights were open fires on hills and towers. The Pharos of Alexandria, built in the third
century before Christ, is said to have stood more than a hundred metres high.

Coal and wood smoked, and rain put them out. Glass lanterns protected the flame, and mirrors behind oil lamps threw its
light out to sea.

## The Fresnel lens

In 1822 Augustin Fresnel built a lens out of rings of glass prisms. It bends nearly all the light of a lamp into one
flat beam, and needs a fraction of the glass of a solid lens.

Each lighthouse turns its beams at a rhythm of its own, so that a ship can tell which light it sees: this rhythm is
called the character of the light.
"""

SOURDOUGH = """
# Sourdough bread

## The starter

A starter is flour and water in which wild yeasts and lactic acid bacteria live together. The yeasts make the gas that
raises the dough, the bacteria make the acids that give it its taste.

Feed it with fresh flour and water once a day when it stands in a warm kitchen, or once a week in the refrigerator.

## Baking

Bake in a very hot oven, with steam in the first quarter of an hour: the crust stays soft for as long as the loaf still
grows.
"""

MAPS = """
# Why flat maps lie

## No projection keeps everything

A sphere cannot be unrolled. Every flat map of the Earth has to stretch something: areas, angles or distances.

## The Mercator projection

Gerardus Mercator drew his map of 1569 for sailors. It keeps angles, so a constant compass course is a straight line,
and it pays with areas: Greenland looks as large as Africa, which is in truth fourteen times larger.
"""


DOCUMENTS: Mapping[str, Callable[[], bytes]] = {
    "lighthouses.pdf": lambda: pdf_of(Article.of(LIGHTHOUSES)),
    "maps.md": lambda: MAPS.lstrip().encode(),
    "sourdough.docx": lambda: docx_of(Article.of(SOURDOUGH)),
    "tides.html": lambda: html_of(Article.of(TIDES)),
}
"""The demo's files, and how each is made."""


def write_documents(folder: Path) -> list[Path]:
    """The demo's documents in `folder`; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in DOCUMENTS]
    for path in paths:
        if not path.exists():
            path.write_bytes(DOCUMENTS[path.name]())
            os.utime(path, (WRITTEN_AT_S, WRITTEN_AT_S))
    return paths
