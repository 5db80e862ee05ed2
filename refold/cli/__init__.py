"""The command line: what a person types and reads. The work is done in `refold.commands`."""

from __future__ import annotations

from refold.process.collector import collect_no_more, collect_seldom


def main() -> None:
    """The console script `refold`."""
    collect_seldom()
    from refold.cli.app import run  # noqa: PLC0415 - `import refold.cli` stays cheap, and so does this one, by the above

    try:
        run()
    finally:
        collect_no_more()
