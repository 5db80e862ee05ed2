"""What the golden data folders were ingested from: the same files, at the same paths, with the same times.

Documents of a folder are named after its path, so that the sources stand below one fixed path, which one process at a
time may use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path("/tmp/refold-golden")  # noqa: S108 - it is part of the documents' uris, and locked
LIBRARY = SOURCES / "library"
CREW = SOURCES / "crew"
CREW_SIZE = 24

FIRST_S = 1_767_225_600
"""When the first files were written: 2026-01-01."""

LIBRARY_FILES = {
    "herons.md": "# Herons\n\nA heron stands still in shallow water.\n",
    "otters.html": "<title>Otters</title><p>Otters sleep afloat, holding hands.",
    "tides.txt": "The tide comes in twice a day.\n",
    "gone.md": "# Gone\n\nThis one will be deleted.\n",
    "broken.pdf": "%PDF-1.7\nnothing that a reader of PDF would know\n",
}
EDITED = "# Herons\n\nA heron stands still in shallow water and waits for a fish.\n"


@contextmanager
def golden_sources() -> Iterator[Path]:
    """The folder of the sources, empty, for this process alone; it is gone afterwards."""
    with SOURCES.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(SOURCES, ignore_errors=True)
        SOURCES.mkdir()
        try:
            yield SOURCES
        finally:
            shutil.rmtree(SOURCES)


def write_library() -> None:
    """The library as it was ingested first."""
    for name, text in LIBRARY_FILES.items():
        _write(LIBRARY / name, text, at_s=FIRST_S)


def change_library() -> None:
    """The library as it was ingested next: one file edited, one gone."""
    _write(LIBRARY / "herons.md", EDITED, at_s=FIRST_S + 3_600)
    (LIBRARY / "gone.md").unlink()


def write_crew(folder: Path, size: int = CREW_SIZE) -> None:
    """Many small documents."""
    for number in range(1, size + 1):
        text = f"# Sailor {number}\n\nSailor {number} keeps watch number {number} on deck.\n"
        _write(folder / f"sailor-{number:02}.md", text, at_s=FIRST_S)


def _write(path: Path, text: str, *, at_s: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at_s, at_s))
