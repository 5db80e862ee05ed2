"""What a process of refold's own changes for itself: a program that uses `import refold` keeps what it has set."""

from __future__ import annotations

import gc

from refold.freed_memory import limit_arenas
from refold.settings import Settings
from refold.telemetry import configure_logging

GC_THRESHOLDS = (50_000, 10, 10)
"""Events are many small objects without cycles; collecting after every 700 took 40% of a replay."""


def prepare(settings: Settings) -> None:
    """Set up collector, allocator and log of this process, once, before an engine is opened."""
    gc.set_threshold(*GC_THRESHOLDS)
    limit_arenas()
    configure_logging(settings)
