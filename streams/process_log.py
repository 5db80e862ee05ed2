"""Loggers for code that may run in somebody else's process: JSON lines on standard error, with one set of names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

# structlog is imported when something is said: with all it brings that takes as long as a twentieth of a command.

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
}
"""By the names of the methods that log."""

_UNTOLD = "warning"


class _Process:
    """What this process logs from: a name of LEVELS, or None where it is somebody else's."""

    level: str | None = None


def log_from(level: str | None) -> str | None:
    """Log from `level` on, as refold's own process; None: this one is somebody else's. Returns what was before."""
    before, _Process.level = _Process.level, level
    return before


class ProcessLogger:
    """Logs as the process has configured structlog; where nobody has, warnings go to standard error as JSON.

    A process of refold's own says from which level on (`refold/process/setup.py`); a program that uses refold may
    configure structlog, or may not.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in LEVELS:
            raise AttributeError(method)
        if _is_configured_by_host():
            import structlog  # noqa: PLC0415 - it is there

            return _method(structlog.get_logger(self._name), method)
        lowest = LEVELS[_Process.level or _UNTOLD]
        return _unsaid if LEVELS[method] < lowest else _method(_own_logger(lowest), method)


def _is_configured_by_host() -> bool:
    structlog = sys.modules.get("structlog")
    return _Process.level is None and structlog is not None and bool(structlog.is_configured())


def _method(logger: Any, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(logger, name)
    return method


def _own_logger(lowest: int) -> Any:
    import structlog  # noqa: PLC0415 - see above

    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
    )


def _unsaid(*_: object, **__: object) -> None:
    """Below the level that is logged from."""
