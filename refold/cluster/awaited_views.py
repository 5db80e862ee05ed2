"""Waiting for what a projector makes first: the SQL views."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from projections.sql.store import ViewMissing, ViewOutdated
from projections.sql.view import SqlView
from schemas.errors import UnreachableError
from streams.process_log import ProcessLogger

ViewT = TypeVar("ViewT", bound=SqlView[Any, Any])

LOOK_S = 0.5
"""Between two looks."""

_log = ProcessLogger(__name__)


def once_there(open_view: Callable[[], ViewT], *, timeout_s: float | None = None) -> ViewT:
    """The view that `open_view` opens, once a projector of this release has made it; without `timeout_s`, for ever.

    Raises:
        UnreachableError: it is not there in time.
    """
    began_s = time.monotonic()
    is_told = False
    while True:
        try:
            return _current(open_view())
        except (ViewMissing, ViewOutdated) as exc:
            if timeout_s is not None and time.monotonic() - began_s >= timeout_s:
                raise UnreachableError(
                    "no projector of this release has made the views of this corpus",
                    op="open",
                    hint="start one: refold projector",
                ) from exc
            if not is_told:
                _log.warning("waiting for a projector to make the views", error=str(exc))
                is_told = True
            time.sleep(LOOK_S)


def _current(view: ViewT) -> ViewT:
    """The view itself; ViewOutdated if another release, or a projector of another log, has made it."""
    if not view.is_outdated:
        return view
    view.close()
    raise ViewOutdated(op="open")
