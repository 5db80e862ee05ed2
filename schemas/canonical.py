"""The canonical form of a schema: equal texts mean the same to every reader and writer.

Avro's own Parsing Canonical Form leaves out defaults and logical types, so two schemas that read old events differently
would look the same. This form keeps them and leaves out only what nobody decodes by: doc strings, the order of keys,
white space and short names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

NAMED = frozenset({"record", "enum", "fixed"})
PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_SCHEMA_KEYS = (
    "type",
    "name",
    "symbols",
    "items",
    "values",
    "size",
    "logicalType",
    "precision",
    "scale",
    "default",
    "aliases",
)
_FIELD_KEYS = ("name", "default", "order", "aliases")


def canonical_form(schema: Any) -> str:
    """`schema` (parsed JSON) as canonical JSON text, without a space in it.

    Full names stand wherever a name stands, in the order Avro reads them; nothing but a first definition defines.
    """
    return json.dumps(_canonical(schema, ""), ensure_ascii=False, separators=(",", ":"))


def fingerprint_of(canonical: str) -> str:
    """SHA-256 hex of a canonical form."""
    return sha256(canonical.encode()).hexdigest()


def without_logical_types(schema: Any) -> Any:
    """`schema` with every logical type read as the type beneath it; the bytes are the same."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if isinstance(schema, Mapping):
        return {key: without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return schema


def expanded(schema: Any, definitions: dict[str, Any] | None = None) -> Any:
    """A canonical schema (parsed) with every name replaced by what it stands for; `definitions` collects them.

    That is no Avro schema, where a type is defined once, but two types are the same exactly if they are equal so.
    Events have no recursive types.
    """
    known = {} if definitions is None else definitions
    match schema:
        case str():
            return known.get(schema, schema)
        case list():
            return [expanded(branch, known) for branch in schema]
    made = _with_inner(schema, lambda inner: expanded(inner, known))
    if "name" in schema:
        known[schema["name"]] = made
    return made


def folded(schema: Any, defined: set[str] | None = None) -> Any:
    """The opposite of `expanded`: every named type but those in `defined` is defined at its first use."""
    known = set() if defined is None else defined
    match schema:
        case str():
            return schema
        case list():
            return [folded(branch, known) for branch in schema]
        case {"name": name} if name in known:
            return name
    if "name" in schema:
        known.add(schema["name"])
    return _with_inner(schema, lambda inner: folded(inner, known))


def full_name(name: str, namespace: str) -> str:
    """`name` with `namespace` in front, unless it has one or needs none."""
    return name if "." in name or not namespace or name in PRIMITIVES else f"{namespace}.{name}"


def _canonical(schema: Any, namespace: str) -> Any:
    if isinstance(schema, str):
        return full_name(schema, namespace)
    if isinstance(schema, list):
        return [_canonical(branch, namespace) for branch in schema]
    if schema["type"] in NAMED:
        name = full_name(schema["name"], schema.get("namespace", namespace))
        namespace = name.rpartition(".")[0]
        schema = {**schema, "name": name}
    kept = {key: schema[key] for key in _SCHEMA_KEYS if key in schema}
    if "fields" in schema:
        kept["fields"] = [
            {key: field[key] for key in (*_FIELD_KEYS, "type") if key in field} for field in schema["fields"]
        ]
    kept = _with_inner(kept, lambda inner: _canonical(inner, namespace))
    return kept["type"] if kept.keys() == {"type"} and kept["type"] in PRIMITIVES else kept


def _with_inner(schema: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """`schema` with the types that stand directly in it as `convert` makes them."""
    made = {key: convert(value) if key in {"items", "values"} else value for key, value in schema.items()}
    if "fields" in schema:
        made["fields"] = [{**field, "type": convert(field["type"])} for field in schema["fields"]]
    return made
