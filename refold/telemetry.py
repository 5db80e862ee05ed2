"""The log of a process of refold's own: JSON lines on standard error, one set of names throughout.

Names used: stage, document_id, status, duration_ms, attempt, error_code, run_id, job_id; host, pid and engine are told
once, with the first line of a process. In somebody else's process nothing is configured: `streams/process_log.py`.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

import structlog

from refold.settings import Settings
from streams.process_log import PROCESSORS

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(settings: Settings) -> None:
    """Send the process's log to standard error as JSON, from `settings.log_level` on."""
    structlog.configure(
        processors=list(PROCESSORS),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.get_logger(__name__).info("begun", host=socket.gethostname(), pid=os.getpid(), engine=settings.engine)
