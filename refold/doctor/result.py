"""What a check of the doctor comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checked:
    """One check and what it found."""

    check: str
    is_good: bool
    found: str
    hint: str | None = None
