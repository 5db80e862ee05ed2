"""What became of records that are no longer written: one step per (record, version), from old rows to new ones.

A compatible change (a field with a default, an enum symbol) is a new version of its record, and Avro's own resolution
reads the old ones. Anything else is a new record: the old one's dataclass goes, its files stay, and a step here turns
its rows into those of the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Upcasted(NamedTuple):
    """A row of another record; fields that `row` lacks take the defaults of the record's dataclass."""

    record: str
    version: int
    row: dict[str, Any]


Step = Callable[[dict[str, Any]], Upcasted]
Upcasts = Mapping[tuple[str, int], Step]

UPCASTS: Upcasts = {}
"""Every step there is, by the (record, version) it starts from; a step may lead to where another one starts."""


def upcast(record: str, version: int, row: dict[str, Any], *, steps: Upcasts) -> Upcasted:
    """`row` of that record and version after every step that applies."""
    current = Upcasted(record, version, row)
    while (step := steps.get((current.record, current.version))) is not None:
        current = step(current.row)
    return current
