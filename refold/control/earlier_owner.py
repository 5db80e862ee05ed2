"""What an owner of the release before leaves out of its answers, put in: no command fails because of an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from refold.control.messages import Json


def completed(command: str, result: Json) -> Json:
    """The result of `command` with what this release adds; an owner of this release has given it all."""
    complete = _COMPLETIONS.get(command)
    return result if complete is None else complete(result)


def _ingest(result: Json) -> Json:
    return {"resumed": [], "left_out": 0, "open_of_others": 0, **result}


def _plan(result: Json) -> Json:
    return {**result, "counts": {"left_out": 0, **result.get("counts", {})}}


def _search(result: Json) -> Json:
    return {"behind": {}, "parked": [], "unavailable": [], "unreadable": [], **result}


def _status(result: Json) -> Json:
    return {**result, "projections": [_projection(one) for one in result.get("projections", [])]}


def _projection(told: Mapping[str, Any]) -> Json:
    """With its state, as far as it shows: what had an error was stopped."""
    behind = "behind" if told.get("lag_events") else "open"
    return {"state": "damaged" if told.get("error") else behind, "hint": None, **told}


def _verify(result: Json) -> Json:
    indexes = {name: {"foreign": 0, **counts} for name, counts in result.get("indexes", {}).items()}
    return {"unavailable": [], **result, "indexes": indexes}


_COMPLETIONS: Mapping[str, Callable[[Json], Json]] = {
    "ingest": _ingest,
    "plan": _plan,
    "search": _search,
    "status": _status,
    "verify": _verify,
}
