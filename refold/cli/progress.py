"""How an ingest is watched: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from refold.cli.output import err

PLAIN_EVERY_S = 2.0
"""Between two plain lines: a log file of an hour then has 1,800 of them at most."""

FAILURES_SHOWN = 3


class IngestProgress:
    """Shows `resumed`, `progress` and `failure` events of an ingest on standard error."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._failures: deque[str] = deque(maxlen=FAILURES_SHOWN)
        self._latest: dict[str, Any] = {}
        self._printed_at_s = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.percentage:3.0f}%")
        )
        self._task = self._bar.add_task("planning", total=None)
        self._live = Live(console=err(), get_renderable=self._render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Take in an event; others than these are ignored."""
        match event.get("type"):
            case "failure":
                self._failures.append(f"{event['uri']}: {event['message']}")
                if not self._is_live:
                    err().print(Text(f"failed {event['uri']}: {event['message']}"))
            case "progress":
                self._latest = event
                self._advance(event)
            case "resumed":
                done = f"{event['completed']:,} documents are completed, {event['remaining']:,} requests are open"
                err().print(Text(f"going on with the unfinished job {event['job_id'][:8]}: {done}"))
            case _:
                pass

    def _advance(self, event: dict[str, Any]) -> None:
        if self._is_live:
            total = event["requested"] or None
            self._bar.update(
                self._task, description=event["phase"], total=total, completed=event["requested"] - event["remaining"]
            )
            return
        now_s = time.monotonic()
        if now_s - self._printed_at_s >= PLAIN_EVERY_S:
            self._printed_at_s = now_s
            err().print(Text(f"{event['phase']}: {_told(event)}"))

    def _render(self) -> Group:
        lines = [Text(f"  {failure}", style="red", overflow="ellipsis", no_wrap=True) for failure in self._failures]
        return Group(self._bar, Text(f"  {_told(self._latest)}"), *lines)


def _told(event: dict[str, Any]) -> str:
    if not event:
        return ""
    counts = [
        f"{event[name]:,} {name}"
        for name in ("completed", "skipped", "unchanged", "failed", "removed", "remaining")
        if event.get(name) or name in {"completed", "remaining"}
    ]
    speed = f"{event['documents_per_minute']:,.0f} documents/min" if event.get("documents_per_minute") else ""
    eta = f"about {event['eta_s']:.0f} s left" if event.get("eta_s") is not None else ""
    return " · ".join(filter(None, [", ".join(counts), speed, eta]))
