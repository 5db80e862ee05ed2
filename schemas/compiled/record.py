"""Avro bodies of one schema to dataclasses and back, by functions written for that schema when it is first used.

fastavro walks a schema's dicts for every value and fetches every byte of a number by a call; straight Python for one
schema, without a dict in between, is several times as fast (`schemas/compiled/write.py` and `compiled_read.py` show
what it looks like). It knows the types that events use and no resolution: whoever reads another version asks fastavro
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.compiled.python_source import PythonSource
from schemas.compiled.read import add_read
from schemas.compiled.types import Types
from schemas.compiled.write import add_write


@dataclass(frozen=True, slots=True)
class CompiledRecord:
    """The functions of one schema.

    Attributes:
        write: The body of an instance as text, whose characters are the bytes (Latin-1). A value that does not fit its
            field raises TypeError, ValueError, KeyError, AttributeError, OverflowError or struct.error.
        read: The instance whose body begins at that offset, and the offset after it. A truncated body either raises
            IndexError or struct.error or ends beyond the data; a wrong one may raise ValueError, LookupError or
            OverflowError.
    """

    write: Callable[[Any], str]
    read: Callable[[bytes, int], tuple[Any, int]]


def compile_record(schema: Mapping[str, Any], classes: Mapping[str, Any]) -> CompiledRecord:
    """The functions for `schema` (in canonical form), whose records and enums are `classes` by their short names."""
    source = PythonSource()
    record = Types(source, classes).of(schema)
    add_write(source, record)
    add_read(source, record)
    names = source.run()
    return CompiledRecord(names["write"], names["read"])
