"""Frozen dataclasses filled like plain objects, for those that are made by the hundred thousand."""

from __future__ import annotations

from typing import Any


def blank_of(kind: type) -> Any:
    """A class with the slots of the frozen dataclass `kind`, whose instances become one by assigning ``__class__``.

    A frozen dataclass sets each field through ``object.__setattr__``, which takes longer than all else in decoding::

        made = Blank()
        made.field = …  # every one: nothing is checked, no default is filled in and no __post_init__ runs
        made.__class__ = kind
    """
    return type(f"Blank{kind.__name__}", (), {"__slots__": kind.__slots__})  # type: ignore[attr-defined]
