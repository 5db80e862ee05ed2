"""Filters of a search, as they are written on a command line: ``media_type=text/html``, ``modified>=2026-01-01``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from projections.index.backend import Filters
from schemas.errors import UsageError

FILTER_FORMS = (
    "uri=GLOB",
    "uri^=PREFIX",
    "source=ROOT",
    "media_type=TYPE",
    "modified>=DATE",
    "modified<DATE",
    "metadata.KEY=VALUE",
)
"""What `parse_filter` understands; a DATE is ISO 8601, UTC unless it says otherwise."""

_FORM = re.compile(r"(?P<name>[a-z_]+(?:\.[^=<>^]+)?)\s*(?P<operator>\^=|>=|<|=)\s*(?P<value>.+)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_filters(texts: Sequence[str]) -> Filters | None:
    """What all of `texts` ask for together; None for no text.

    Raises:
        UsageError: one is no filter, or two of them set the same thing.
    """
    filters = Filters()
    for text in texts:
        filters = _joined(filters, parse_filter(text), text)
    return filters if texts else None


def parse_filter(text: str) -> Filters:
    """The filter that `text` spells, in one of FILTER_FORMS.

    Raises:
        UsageError: it is none.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise _refused(text)
    name, operator, value = found["name"], found["operator"], found["value"]
    if name.startswith("metadata.") and operator == "=":
        return Filters(metadata={name.removeprefix("metadata."): value})
    parse = _FIELDS.get(name + operator)
    if parse is None:
        raise _refused(text)
    return parse(value)


_FIELDS: Mapping[str, Callable[[str], Filters]] = {
    "uri=": lambda value: Filters(uri_glob=value),
    "uri^=": lambda value: Filters(uri_prefix=value),
    "source=": lambda value: Filters(source=value),
    "media_type=": lambda value: Filters(media_type=value),
    "modified>=": lambda value: Filters(modified_from_ns=_moment_ns(value)),
    "modified<": lambda value: Filters(modified_to_ns=_moment_ns(value)),
}


def _moment_ns(value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as exc:
        raise UsageError(
            f"{value!r} is no date", op="parse filter", subject=value, hint="write 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from exc
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1_000


def _joined(filters: Filters, more: Filters, text: str) -> Filters:
    for name in Filters.__dataclass_fields__:
        old, new = getattr(filters, name), getattr(more, name)
        if name == "metadata":
            if old.keys() & new.keys():
                raise _twice(text)
            filters = replace(filters, metadata={**old, **new})
        elif new is not None:
            if old is not None:
                raise _twice(text)
            filters = replace(filters, **{name: new})
    return filters


def _twice(text: str) -> UsageError:
    return UsageError(
        f"{text!r} sets what another filter sets already: no document can match both",
        op="parse filter",
        subject=text,
        hint="give each filter once",
    )


def _refused(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no filter", op="parse filter", subject=text, hint=f"write one of {', '.join(FILTER_FORMS)}"
    )
