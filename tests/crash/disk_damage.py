"""A byte of a data folder that the disk has changed, or a file that it has cut: seeded, so that it comes again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PARTS: Mapping[str, str] = {"artifacts": "artifacts/**/*", "indexes": "indexes/**/*", "log": "log.*"}
"""The files of each part of a data folder; of the log also the file of its end, whose damage is nobody's loss."""

CUTS = 0.2
"""The share of damages that cut a file; the others flip the bits of one byte."""

LOOKS = 2_000
"""Bytes that are looked at for one that is not zero: most of a sparse file was never written."""

ALL_BITS = 0xFF


@dataclass(frozen=True)
class Damage:
    """What happens to a file at `offset`: the byte there is another one, or (`is_cut`) the file ends there."""

    part: str
    path: Path
    offset: int
    is_cut: bool
    mask: int

    def __str__(self) -> str:
        how = "cut at" if self.is_cut else f"xor {self.mask:#04x} at"
        return f"{self.part}: {'/'.join(self.path.parts[-4:])} {how} {self.offset}"

    def happen(self) -> None:
        """Do it."""
        with self.path.open("r+b") as file:
            if self.is_cut:
                file.truncate(self.offset)
                return
            file.seek(self.offset)
            (byte,) = file.read(1)
            file.seek(self.offset)
            file.write(bytes([byte ^ self.mask]))


def seeded_damage(data: Path, part: str, rng: random.Random) -> Damage:
    """One to a file of `part`, mostly where something is written."""
    files = sorted(path for path in data.glob(PARTS[part]) if path.is_file() and path.stat().st_size)
    path = rng.choice([path for path in files if not path.name.endswith("-shm")])  # which SQLite makes anew
    size = path.stat().st_size
    is_cut = rng.random() < CUTS
    offset = rng.randrange(size) if is_cut else _written(path, size, rng)
    return Damage(part, path, offset, is_cut, rng.randint(1, ALL_BITS))


def _written(path: Path, size: int, rng: random.Random) -> int:
    with path.open("rb") as file:
        for _ in range(LOOKS):
            offset = rng.randrange(size)
            file.seek(offset)
            if file.read(1) != b"\0":
                return offset
    return offset
