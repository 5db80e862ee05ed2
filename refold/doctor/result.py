"""What a check of the doctor comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Checked:
    """One check and what it found."""

    check: str
    is_good: bool
    found: str
    hint: str | None = None

    @property
    def mark(self) -> str:
        """For a table."""
        return "ok" if self.is_good else "!!"

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)
