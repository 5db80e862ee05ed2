"""What a process of refold's own changes for itself: a program that uses `import refold` keeps what it has set."""

from __future__ import annotations

from refold.collector import collect_seldom
from refold.freed_memory import limit_arenas
from refold.settings import Settings
from refold.telemetry import configure_logging


def prepare(settings: Settings) -> None:
    """Set up collector, allocator and log of this process, once, before an engine is opened."""
    collect_seldom()
    limit_arenas()
    configure_logging(settings)
