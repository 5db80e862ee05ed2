"""The words people type for modes and priorities."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from schemas.errors import UsageError
from schemas.events import Mode, Priority

WordT = TypeVar("WordT", bound=StrEnum)


def mode_named(name: str) -> Mode:
    """The mode called `name`, in any case.

    Raises:
        UsageError: there is none.
    """
    return _named(Mode, name, "mode")


def priority_named(name: str) -> Priority:
    """The priority called `name`, in any case.

    Raises:
        UsageError: there is none.
    """
    return _named(Priority, name, "priority")


def _named(words: type[WordT], name: str, what: str) -> WordT:
    known = {word.value: word for word in words if word.value != "UNKNOWN"}
    if name.upper() not in known:
        choices = ", ".join(word.lower() for word in known)
        raise UsageError(f"there is no {what} {name!r}", op=f"choose {what}", hint=f"choose one of: {choices}")
    return known[name.upper()]
