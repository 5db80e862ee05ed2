"""Our own rules for schemas and for changes between versions: what Avro allows and an event log cannot bear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.canonical import expanded

ENUM_DEFAULT = "UNKNOWN"
"""What a reader makes of a symbol it does not know."""

_NEW_RECORD = "make a new record, and an upcast to it in schemas/upcast.py"
_ABSENT = object()


class Flaw(NamedTuple):
    """A rule that is broken, how, and what to do instead."""

    rule: str
    message: str
    hint: str


def schema_flaws(schema: Any) -> Iterator[Flaw]:
    """What is wrong with one schema (a parsed canonical form) by itself."""
    yield from _type_flaws(schema, _short(schema["name"]))


def change_flaws(earlier: Any, later: Any) -> Iterator[Flaw]:
    """What is wrong with the change from `earlier` to `later`, two versions of one record in canonical form."""
    yield from _Change().flaws(expanded(earlier), expanded(later), _short(later["name"]))


def _type_flaws(schema: Any, at: str) -> Iterator[Flaw]:
    match schema:
        case list():
            if len(schema) != 2 or schema[0] != "null":  # noqa: PLR2004 - null and T
                hint = "write it as [null, T] with default null, or as two fields"
                yield Flaw("union", f"{at}: the only union is [null, T]", hint)
            for branch in schema:
                yield from _type_flaws(branch, at)
        case {"type": "enum"} if schema.get("default") != ENUM_DEFAULT or ENUM_DEFAULT not in schema["symbols"]:
            message = f"{at}: {_short(schema['name'])} has no symbol {ENUM_DEFAULT} as its default"
            hint = f'add the symbol and "default": "{ENUM_DEFAULT}", so that older readers survive newer symbols'
            yield Flaw("enum-default", message, hint)
        case {"type": "record", "fields": fields}:
            for field in fields:
                yield from _type_flaws(field["type"], f"{at}.{field['name']}")
        case {"items": inner} | {"values": inner}:
            yield from _type_flaws(inner, at)


class _Change:
    """One walk along two versions, in expanded form; a named type is compared where it is first met."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def flaws(self, earlier: Any, later: Any, at: str) -> Iterator[Flaw]:
        earlier, later = _spelled_out(earlier), _spelled_out(later)
        was, became = _shape(earlier), _shape(later)
        if was != became:
            rule = "union-branch" if "union" in {was, became} else "type-change"
            yield Flaw(rule, f"{at}: {was} became {became}", _NEW_RECORD)
        elif isinstance(later, list):
            yield from self._union_flaws(earlier, later, at)
        else:
            yield from self._dict_flaws(earlier, later, at)

    def _union_flaws(self, earlier: list[Any], later: list[Any], at: str) -> Iterator[Flaw]:
        if len(earlier) != len(later):
            yield Flaw("union-branch", f"{at}: the union has other branches", _NEW_RECORD)
            return
        for one, other in zip(earlier, later, strict=True):
            yield from self.flaws(one, other, at)

    def _dict_flaws(self, earlier: dict[str, Any], later: dict[str, Any], at: str) -> Iterator[Flaw]:
        if earlier.get("logicalType") != later.get("logicalType"):
            was, became = earlier.get("logicalType", "none"), later.get("logicalType", "none")
            yield Flaw("logical-type-change", f"{at}: logical type {was} became {became}", _NEW_RECORD)
        for inner in ("items", "values"):
            if inner in later:
                yield from self.flaws(earlier[inner], later[inner], at)
        if "name" not in later or later["name"] in self._seen:
            return
        self._seen.add(later["name"])
        yield from _name_flaws(earlier, later, at)
        if "fields" in later:
            yield from self._field_flaws(_fields(earlier), _fields(later), at)

    def _field_flaws(
        self, earlier: Mapping[str, Mapping[str, Any]], later: Mapping[str, Mapping[str, Any]], at: str
    ) -> Iterator[Flaw]:
        for name, field in earlier.items():
            if name not in later and "default" not in field:
                message = f"{at}.{name}: a field without default was removed, so earlier readers cannot do without it"
                yield Flaw("removed-field-without-default", message, "keep the field")
        for name, field in later.items():
            if name not in earlier:
                if "default" not in field:
                    message = f"{at}.{name}: a new field has no default, so earlier events cannot be read"
                    yield Flaw("field-without-default", message, "give it a default that is true of earlier events")
                continue
            if earlier[name].get("default", _ABSENT) != field.get("default", _ABSENT):
                message = f"{at}.{name}: the default changed, so earlier events would say something else"
                yield Flaw("default-change", message, "keep the default, and write the value where it differs")
            yield from self.flaws(earlier[name]["type"], field["type"], f"{at}.{name}")


def _name_flaws(earlier: Mapping[str, Any], later: Mapping[str, Any], at: str) -> Iterator[Flaw]:
    if earlier["name"] != later["name"]:
        rule = "enum-rename" if later["type"] == "enum" else "type-change"
        message = f"{at}: {_short(earlier['name'])} was renamed to {_short(later['name'])}"
        yield Flaw(rule, message, "keep the name")
    gone = [symbol for symbol in earlier.get("symbols", ()) if symbol not in later.get("symbols", ())]
    if gone:
        message = f"{at}: the symbols {', '.join(gone)} are gone, so earlier events would say {ENUM_DEFAULT}"
        yield Flaw("enum-rename", message, "keep them, and add new symbols at the end")


def _fields(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {field["name"]: field for field in record["fields"]}


def _spelled_out(schema: Any) -> Any:
    """`schema` as a list of branches or a dict, never the bare name of a primitive."""
    return {"type": schema} if isinstance(schema, str) else schema


def _shape(schema: Any) -> str:
    """The Avro type without what is inside, such as string, record or union."""
    return "union" if isinstance(schema, list) else str(schema["type"])


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
