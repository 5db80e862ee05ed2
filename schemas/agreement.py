"""The schema that a dataclass asks for, so that a file in `schemas/avro/` can be held against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from schemas.avro_files import NAMESPACE
from schemas.ids import ChunkId, DocumentId, EventId
from schemas.schema_change import ENUM_DEFAULT

_UUID = {"type": "string", "logicalType": "uuid"}
_SCALARS: Mapping[Any, Any] = {
    EventId: _UUID,
    DocumentId: _UUID,
    ChunkId: _UUID,
    bool: "boolean",
    bytes: "bytes",
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
    float: "double",
    int: "long",
    str: "string",
}


def expected_schema(kind: type[Any]) -> dict[str, Any]:
    """The schema that dataclass `kind` asks for, without doc strings; named types are defined where first used.

    Raises:
        TypeError: an annotation has no counterpart among the types that events use.
    """
    return _record(kind, defined=set())


def differences(found: Any, expected: Any, *, at: str) -> Iterator[str]:
    """Where two schemas (parsed canonical forms) differ, a sentence each; `at` names the place they stand."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            if key == "fields" and found.keys() == expected.keys():
                yield from _field_differences(found[key], expected[key], at=at)
            else:
                here = at if key in {"type", "items", "values", "fields"} else f"{at} {key}"
                yield from differences(found.get(key), expected.get(key), at=here)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for one, other in zip(found, expected, strict=True):
            yield from differences(one, other, at=at)
    elif found != expected:
        yield f"{at}: the file says {_short(found)}, the dataclass {_short(expected)}"


def _field_differences(found: Sequence[Any], expected: Sequence[Any], *, at: str) -> Iterator[str]:
    names, wanted = [field["name"] for field in found], [field["name"] for field in expected]
    if names != wanted:
        yield f"{at}: the file has the fields {', '.join(names)}; the dataclass {', '.join(wanted)}"
        return
    for one, other in zip(found, expected, strict=True):
        yield from differences(one, other, at=f"{at}.{one['name']}")


def _record(kind: type[Any], *, defined: set[str]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        "type": "record",
        "name": f"{NAMESPACE}.{kind.__name__}",
        "fields": [
            {"name": field.name, **_default(field), "type": _type(hints[field.name], defined=defined)}
            for field in fields(kind)
        ],
    }


def _type(hint: Any, *, defined: set[str]) -> Any:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hasattr(hint, "__supertype__"):
        return _type(hint.__supertype__, defined=defined)
    if isinstance(hint, type):
        return _named(hint, defined=defined)
    origin, args = get_origin(hint), get_args(hint)
    if origin in {UnionType, Union} and len(args) == 2 and args[1] is NoneType:  # noqa: PLR2004 - T and None
        return ["null", _type(args[0], defined=defined)]
    if origin is Sequence:
        return {"type": "array", "items": _type(args[0], defined=defined)}
    if origin is Mapping and args[0] is str:
        return {"type": "map", "values": _type(args[1], defined=defined)}
    raise TypeError(f"events use no such type: {hint}")


def _named(kind: type[Any], *, defined: set[str]) -> Any:
    name = f"{NAMESPACE}.{kind.__name__}"
    if kind.__name__ in defined:
        return name
    defined.add(kind.__name__)
    if is_dataclass(kind):
        return _record(kind, defined=defined)
    if issubclass(kind, StrEnum):
        return {"type": "enum", "name": name, "symbols": [member.value for member in kind], "default": ENUM_DEFAULT}
    raise TypeError(f"events use no such type: {kind}")


def _default(field: Field[Any]) -> dict[str, Any]:
    """The field's default as a schema says it, or nothing for a field that must be given."""
    if field.default_factory is not MISSING:
        return {"default": field.default_factory()}
    if field.default is MISSING:
        return {}
    return {"default": [] if field.default == () else field.default}


def _short(schema: Any) -> str:
    if schema is None:
        return "nothing"
    return str(schema.get("name", schema)) if isinstance(schema, dict) else str(schema)
