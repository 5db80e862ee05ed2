"""Hypothesis strategies for every event, made from the annotations of their dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.events import TOPICS
from schemas.ids import DocumentId, EventId

KINDS = [kind for kinds in TOPICS.values() for kind in kinds]

_UUIDS = st.uuids().map(str)
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    EventId: _UUIDS,
    DocumentId: _UUIDS,
    bool: st.booleans(),
    bytes: st.binary(max_size=200),
    datetime: st.datetimes(timezones=st.just(UTC)),
    float: st.floats(allow_nan=False),
    int: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300),
    str: st.text(st.characters(codec="utf-8"), max_size=150),
}


def events_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of `kind`, every field of it filled."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: _of(hints[field.name]) for field in fields(kind)})


def any_event() -> st.SearchStrategy[Any]:
    """Events of every kind."""
    return st.sampled_from(KINDS).flatmap(events_of)


def _of(hint: Any) -> st.SearchStrategy[Any]:
    hint = getattr(hint, "__supertype__", hint) if hint not in _SCALARS else hint
    if hint in _SCALARS:
        return _SCALARS[hint]
    if is_dataclass(hint):
        return events_of(hint)
    if get_origin(hint) in {UnionType, Union}:
        return st.none() | _of(get_args(hint)[0])
    if get_origin(hint) is Sequence:
        return st.lists(_of(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(_SCALARS[str], _of(get_args(hint)[1]), max_size=3)
    return st.sampled_from(hint)
