"""Events as rows (the dicts that Avro libraries read and write) and back, by functions built once per class.

A row differs from its dataclass in this: nested dataclasses are dicts, times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

Row = dict[str, Any]
Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_SECOND = 1_000_000
_SECONDS_PER_DAY = 86_400


def row_of(kind: type[Any]) -> Callable[[Any], Row]:
    """The function that turns an instance of dataclass `kind` into a row."""
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    values_of = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    converts = tuple((name, convert) for name in names if (convert := _outward(hints[name])) is not None)

    def row(value: Any) -> Row:
        made = dict(zip(names, values_of(value), strict=True))
        for name, convert in converts:
            if (plain := made[name]) is not None:
                made[name] = convert(plain)
        return made

    return row


def value_of(kind: type[Any]) -> Callable[[Row], Any]:
    """The function that turns a row into an instance of dataclass `kind`; it may change the row."""
    hints = get_type_hints(kind)
    converts = tuple((field.name, c) for field in fields(kind) if (c := _inward(hints[field.name])) is not None)

    def value(row: Row) -> Any:
        for name, convert in converts:
            if (plain := row.get(name)) is not None:
                row[name] = convert(plain)
        return kind(**row)

    return value


def optional_of(hint: Any) -> Any | None:
    """T where `hint` is ``T | None``, else None."""
    if get_origin(hint) not in {UnionType, Union}:
        return None
    (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
    return inner


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 UTC; a naive `moment` is a TypeError."""
    delta = moment - _EPOCH
    return (delta.days * _SECONDS_PER_DAY + delta.seconds) * _US_PER_SECOND + delta.microseconds


def moment_of(micros: int) -> datetime:
    """The aware UTC time of `micros` since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def _outward(hint: Any) -> Convert | None:
    """How a field of that annotation gets into a row, or None where it goes as it is."""
    hint = optional_of(hint) or hint
    if hint is datetime:
        return micros_of
    if is_dataclass(hint):
        return row_of(hint)  # type: ignore[arg-type]  # a class here, never an instance
    if get_origin(hint) is Sequence:
        item = _outward(get_args(hint)[0])
        return None if item is None else partial(_each, item)
    if get_origin(hint) is Mapping:
        item = _outward(get_args(hint)[1])
        return dict if item is None else partial(_each_value, item)
    return None


def _inward(hint: Any) -> Convert | None:
    """How a field of that annotation comes out of a row, or None where it comes as it is."""
    hint = optional_of(hint) or hint
    if hint is datetime:
        return moment_of
    if is_dataclass(hint):
        return value_of(hint)  # type: ignore[arg-type]  # a class here, never an instance
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {member.value: member for member in hint}.__getitem__
    if get_origin(hint) is Sequence:
        item = _inward(get_args(hint)[0])
        return tuple if item is None else partial(_each, item)
    if get_origin(hint) is Mapping:
        item = _inward(get_args(hint)[1])
        return None if item is None else partial(_each_value, item)
    return None


def _each(convert: Convert, values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([convert(value) for value in values])


def _each_value(convert: Convert, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: convert(value) for key, value in values.items()}
