"""Loggers for code that may run in somebody else's process."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

PROCESSORS = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(),
)
"""JSON lines, with one set of names throughout."""


class ProcessLogger:
    """Logs as the process has configured structlog; where nobody has, warnings go to standard error as JSON.

    A process of refold's own configures it (`refold/process/setup.py`); a program that uses refold may, or may not.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        if structlog.is_configured():
            return getattr(structlog.get_logger(self._name), method)
        unconfigured = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=list(PROCESSORS),
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        )
        return getattr(unconfigured, method)
