"""The process's own log: JSON lines on standard error, one set of names throughout.

Names used: stage, document_id, status, duration_ms, attempt, error_code, run_id, job_id; host, pid and engine are told
once, with the first line of a process.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

import structlog

from refold.settings import Settings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(settings: Settings, *, run_id: str) -> None:
    """Send the process's log to standard error as JSON, from `settings.log_level` on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.get_logger(__name__).info(
        "opened", run_id=run_id, host=socket.gethostname(), pid=os.getpid(), engine=settings.engine
    )
