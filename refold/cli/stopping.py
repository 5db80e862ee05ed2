"""Ctrl-C and SIGTERM: the first asks for an orderly end, and says which; the second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Self

from refold.cli.output import EXIT_INTERRUPTED, err

OWN = "stopping: what is in work is finished or given back (again to stop at once)"
FORWARDED = (
    "stopping: the process that owns the folder plans no more of this, and goes on with what it has taken; "
    "to end that, too: refold jobs cancel {} (again to leave at once)"
)


class Stopping:
    """Within the block `asked` is set by the first signal.

    A command that ends in good order lets documents finish, which takes up to ten seconds. The second signal is for
    those who do not want to wait: it is like a kill, which the folder stands.
    """

    def __init__(self, job_id: str) -> None:
        self.asked = threading.Event()
        self._job_id = job_id
        self._is_here = True
        self._before: dict[signal.Signals, Any] = {}

    def runs(self, is_here: bool) -> None:  # noqa: FBT001 - the one thing that a caller of `on_place` says
        """The command runs in this process from now on, or in the one that owns the folder."""
        self._is_here = is_here

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, _number: int, _frame: object) -> None:
        if self.asked.is_set():
            err().show_cursor()
            err().print("refold: stopped at once; what was done is kept, and the next ingest goes on")
            os._exit(EXIT_INTERRUPTED)  # nothing is waited for, threads and children included
        self.asked.set()
        err().print(OWN if self._is_here else FORWARDED.format(self._job_id))
