"""Values in columns: dataclasses as JSON text, times as microseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

ValueT = TypeVar("ValueT")
RowValues = dict[str, Any]
"""A row to be written: values by column."""

_Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# json.dumps and json.loads would make an encoder, and look for white space, at every call.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().raw_decode


def micros_of(moment: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime:
    """The UTC moment that many microseconds after the epoch, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def optional_moment_of(micros: int | None) -> datetime | None:
    """The same, and None for None."""
    return None if micros is None else moment_of(micros)


def json_of(value: object) -> str:
    """A dataclass as compact JSON; fields that have their default are left out."""
    write, _ = _converters(type(value))
    return _encode(write(value))


def value_of(kind: type[ValueT], text: str) -> ValueT:
    """The dataclass that `json_of` made `text` from; sequences come back as tuples."""
    _, read = _converters(kind)
    value: ValueT = read(_decode(text)[0])
    return value


def optional_values_of(kind: type[ValueT], texts: Iterable[str | None]) -> list[ValueT | None]:
    """The same for many at once, None for None; decoded together, which is cheaper for small ones."""
    _, read = _converters(kind)
    items = _decode("[" + ",".join([text or "null" for text in texts]) + "]")[0]
    return [None if item is None else read(item) for item in items]


def mapping_json(mapping: Mapping[str, str] | None) -> str | None:
    """A mapping as JSON; None for None and for an empty one."""
    return _encode(dict(mapping)) if mapping else None


def mapping_of(text: str | None) -> dict[str, str]:
    """The mapping that `mapping_json` made `text` from."""
    mapping: dict[str, str] = _decode(text)[0] if text else {}
    return mapping


def list_json(items: Sequence[str]) -> str:
    """Texts as JSON."""
    return _encode(list(items))


def list_of(text: str | None) -> tuple[str, ...]:
    """The texts that `list_json` made `text` from; none for None."""
    return tuple(_decode(text)[0]) if text else ()


def _converters(kind: type) -> tuple[_Convert, _Convert]:
    return _compiled(kind)


@cache
def _compiled(kind: type) -> tuple[_Convert, _Convert]:
    hints = get_type_hints(kind)
    writers = [(f.name, _default_of(f), _writer(hints[f.name])) for f in fields(kind)]
    readers = {f.name: _reader(hints[f.name]) for f in fields(kind)}

    def write(value: Any) -> dict[str, Any]:
        data = {}
        for name, default, convert in writers:
            item = getattr(value, name)
            if item is not default and item != default:
                data[name] = convert(item) if convert and item is not None else item
        return data

    def read_plain(data: dict[str, Any]) -> Any:
        return kind(**data)

    def read(data: dict[str, Any]) -> Any:
        for name, item in data.items():
            convert = readers[name]
            if convert and item is not None:
                data[name] = convert(item)
        return kind(**data)

    return write, read if any(readers.values()) else read_plain


def _default_of(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _writer(hint: Any) -> _Convert | None:
    hint = _plain(hint)
    match _shape(hint):
        case "mapping":
            return dict
        case "sequence":
            convert = _writer(get_args(hint)[0])
            return (lambda items: [convert(item) for item in items]) if convert else list
        case "dataclass":
            return _converters(hint)[0]
        case "moment":
            return datetime.isoformat
        case _:
            return None


def _reader(hint: Any) -> _Convert | None:
    hint = _plain(hint)
    match _shape(hint):
        case "sequence":
            convert = _reader(get_args(hint)[0])
            return (lambda items: tuple([convert(item) for item in items])) if convert else tuple
        case "dataclass":
            return _converters(hint)[1]
        case "moment":
            return datetime.fromisoformat
        case "enum":
            return hint  # type: ignore[no-any-return]  # an enum class is the converter
        case _:
            return None


def _plain(hint: Any) -> Any:
    if isinstance(hint, NewType):
        return _plain(hint.__supertype__)
    if get_origin(hint) in {Union, UnionType}:  # a union with a NewType in it is a typing.Union
        (hint,) = (_plain(arg) for arg in get_args(hint) if arg is not NoneType)
    return hint


def _shape(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Mapping:
        return "mapping"
    if origin is Sequence or origin is tuple:
        return "sequence"
    if is_dataclass(hint):
        return "dataclass"
    if hint is datetime:
        return "moment"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return "enum"
    if hint in {str, int, bool, float}:
        return "plain"
    raise TypeError(f"{hint!r} cannot be kept in a column")
