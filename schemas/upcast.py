"""What became of records that are no longer written: one step per (record, version), from old rows to new ones.

A compatible change (a field with a default, an enum symbol) is a new version of its record, and Avro's own resolution
reads the old ones. Anything else is a new record: the old one's dataclass goes, its files stay, and a step here turns
its rows into those of the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Row = dict[str, Any]
"""A record as Avro reads it, logical types left plain: ids are strings, times microseconds since 1970 UTC."""


class Upcasted(NamedTuple):
    """A row of another record, of its newest version unless another step starts from this one.

    Fields that `row` lacks take their defaults.
    """

    record: str
    version: int
    row: Row


Step = Callable[[Row], Upcasted]
Upcasts = Mapping[tuple[str, int], Step]

UPCASTS: Upcasts = {}
"""Every step there is, by the (record, version) it starts from; a step may lead to where another one starts."""


def upcast(record: str, version: int, row: Row, *, steps: Upcasts) -> Upcasted:
    """`row` of that record and version after every step that applies."""
    current = Upcasted(record, version, row)
    while (step := steps.get((current.record, current.version))) is not None:
        current = step(current.row)
    return current
