"""How a process of refold's own is set up; a program that uses `import refold` keeps what it has set.

Its log goes to standard error as JSON lines, with one set of names throughout: stage, document_id, status, duration_ms,
attempt, error_code, run_id, job_id; host, pid and engine are given once, in the first line of a process. In somebody
else's process nothing is configured: `streams/process_log.py`.
"""

from __future__ import annotations

import os
import socket

from refold.process.collector import collect_seldom
from refold.process.freed_memory import limit_arenas
from streams.process_log import ProcessLogger, log_from

_log = ProcessLogger(__name__)


def prepare(*, log_level: str, engine: str) -> None:
    """Set up collector, allocator and log of this process, once, before `engine`, which the log names, is opened."""
    collect_seldom()
    limit_arenas()
    log_from(log_level)
    _log.info("begun", host=socket.gethostname(), pid=os.getpid(), engine=engine)
