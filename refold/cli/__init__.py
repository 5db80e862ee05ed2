"""The command line: what a person types and reads. The work is done in `refold.commands`."""

from __future__ import annotations


def main() -> None:
    """The console script `refold`."""
    from refold.cli.app import run  # noqa: PLC0415 - `import refold.cli` stays cheap

    run()
