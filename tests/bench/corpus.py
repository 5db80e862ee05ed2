"""Real files that nobody here wrote: what Debian and Python's packages install as documentation.

The same machine gives the same files: candidates are sorted, then drawn with a fixed seed, Debian's first. Where there
are too few, the rest is generated, and said to be.
"""

from __future__ import annotations

import random
import shutil
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DEBIAN = (
    Path("/usr/share/doc"),
    Path("/usr/share/common-licenses"),
    Path("/usr/share/debian-reference"),
    Path("/usr/share/developers-reference"),
)
PYTHON = (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib")))

HTML_AND_TEXT = (".html", ".htm", ".txt", ".md", ".rst")
EVERYTHING = (*HTML_AND_TEXT, ".pdf", ".docx", ".odt", ".py", ".xml", ".csv", ".json", ".tex", ".epub")

HINT = "apt-get install --no-install-recommends python3.11-doc git-doc postgresql-doc-15 sqlite3-doc debian-policy"
"""Packages with a few thousand HTML files and some PDFs, for a machine that has too few."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was copied; `generated_count` files of it are made up."""

    folder: Path
    count: int
    size_bytes: int
    by_suffix: dict[str, int]
    generated_count: int

    def described(self) -> str:
        """One line about it."""
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.by_suffix.items()))
        made_up = f"; {self.generated_count} of them generated, for want of real ones ({HINT})"
        return (
            f"{self.count:,} files, {self.size_bytes / 2**20:.1f} MiB: {kinds}{made_up if self.generated_count else ''}"
        )


def collect(into: Path, *, count: int, suffixes: Collection[str], max_bytes: int, seed: int = 0) -> Corpus:
    """`count` files copied below `into`; all PDFs that there are, if wanted, and a draw of the rest."""
    candidates = [path for roots in (DEBIAN, PYTHON) for path in _drawn(roots, suffixes, max_bytes, seed=seed)]
    candidates.sort(key=lambda path: path.suffix.lower() != ".pdf")  # stable: the few PDFs first
    chosen = candidates[:count]
    for number, path in enumerate(chosen):
        target = into / f"{number // 100:03}" / f"{number:05}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    generate(into / "generated", count=count - len(chosen), seed=seed)
    return _corpus(into, generated_count=count - len(chosen))


def generate(into: Path, *, count: int, seed: int = 0) -> None:
    """`count` small text files of made-up words, all different."""
    numbers = random.Random(seed)
    words = ["".join(numbers.choices("aeioubdgklmnprst", k=numbers.randint(2, 9))) for _ in range(5_000)]
    for number in range(count):
        folder = into / f"{number // 1_000:04}"
        if number % 1_000 == 0:
            folder.mkdir(parents=True)
        text = " ".join(numbers.choices(words, k=60))
        (folder / f"document-{number:06}.txt").write_text(f"Document {number}\n\n{text}\n")


def _drawn(roots: Sequence[Path], suffixes: Collection[str], max_bytes: int, *, seed: int) -> list[Path]:
    drawn = list(_candidates(roots, suffixes, max_bytes))
    random.Random(seed).shuffle(drawn)
    return drawn


def _candidates(roots: Sequence[Path], suffixes: Collection[str], max_bytes: int) -> Iterator[Path]:
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in suffixes and not path.is_symlink() and path.is_file():
                size_bytes = path.stat().st_size
                if 0 < size_bytes <= max_bytes:
                    yield path


def _corpus(folder: Path, *, generated_count: int) -> Corpus:
    by_suffix: dict[str, int] = {}
    count = size_bytes = 0
    for path in folder.rglob("*"):
        if path.is_file():
            count += 1
            size_bytes += path.stat().st_size
            by_suffix[path.suffix.lower()] = by_suffix.get(path.suffix.lower(), 0) + 1
    return Corpus(folder, count, size_bytes, by_suffix, generated_count)
