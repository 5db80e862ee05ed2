"""The types of one Avro schema as `schemas/compiled/record.py` writes functions for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.blanks import blank_of
from schemas.compiled.python_source import PythonSource
from schemas.varints import LONGS


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record: its short name, and the names and types of its fields."""

    name: str
    fields: Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum: its short name."""

    name: str


class Types:
    """Reads the types of a schema, and gives `source` the names it needs for its records and enums.

    A type is a RecordType, an EnumType, ("optional", type), ("array", type), ("map", type), or one of the words
    string, bytes, long, timestamp-micros, boolean and double.
    """

    def __init__(self, source: PythonSource, classes: Mapping[str, Any]) -> None:
        self._names = source.names
        self._classes = classes
        self._defined: dict[str, RecordType | EnumType] = {}

    def of(self, schema: Any) -> Any:
        """The type that `schema` describes."""
        match schema:
            case str():
                return self._defined[schema] if "." in schema else schema
            case ["null", branch]:
                return ("optional", self.of(branch))
            case {"type": "array" | "map" as many}:
                return (many, self.of(schema["items" if many == "array" else "values"]))
            case {"type": "record" | "enum" as which, "name": name}:
                define = self._record if which == "record" else self._enum
                self._defined[name] = define(name.rpartition(".")[2], schema)
                return self._defined[name]
            case {"type": "long", "logicalType": "timestamp-micros"}:
                return "timestamp-micros"
            case {"type": str() as plain, "logicalType": "uuid"}:
                return plain
        raise TypeError(f"events use no such type: {schema}")

    def _record(self, name: str, schema: Mapping[str, Any]) -> RecordType:
        self._names[name] = self._classes[name]
        self._names[f"Blank_{name}"] = blank_of(self._classes[name])
        return RecordType(name, [(field["name"], self.of(field["type"])) for field in schema["fields"]])

    def _enum(self, name: str, schema: Mapping[str, Any]) -> EnumType:
        texts = {symbol: LONGS[index] for index, symbol in enumerate(schema["symbols"])}
        self._names[f"symbols_{name}"] = texts
        self._names[f"members_{name}"] = {ord(text): self._classes[name](symbol) for symbol, text in texts.items()}
        return EnumType(name)
