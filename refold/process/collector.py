"""The garbage collector in a process of refold's own; in another program's process it stays as it is."""

from __future__ import annotations

import gc

GC_THRESHOLDS = (50_000, 10, 10)
"""Events, and what modules are made of, are many small objects without cycles; collecting after every 700 took 40% of a
replay and a twelfth of a command's start."""


def collect_seldom() -> None:
    """Collect after GC_THRESHOLDS from now on."""
    gc.set_threshold(*GC_THRESHOLDS)


def collect_no_more() -> None:
    """Leave whatever there is to the system, which takes it all when the process ends.

    For the very end: Python would search all of it for rubbish twice, a fifth of the time of a short command.
    """
    gc.freeze()
