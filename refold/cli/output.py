"""How results and errors are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from refold.control.messages import error_message
from schemas.errors import RefoldError

EXIT_NO = 1
EXIT_USAGE = 2
EXIT_MACHINE = 4
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Result:
    """What a command returns: a JSON object, how people are shown it, and the exit code."""

    value: Mapping[str, Any]
    show: Callable[[Any], object] = lambda _: None
    exit_code: int = 0

    def print(self, *, as_json: bool) -> int:
        """Print it, and return the exit code."""
        show = print_json if as_json else self.show
        show(self.value)
        return self.exit_code


def out() -> Console:
    """Where results go; plain when it is not a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Where progress and errors go."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def print_line(value: Mapping[str, Any]) -> None:
    """One JSON object per line, for streams."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; tab-separated lines, the first with the names, when the output is not a terminal."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            sys.stdout.write("\t".join(_plain(cell) for cell in row) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(_plain(cell)) for cell in row))
    out().print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one per line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        out().print(Text(f"{name:<{width}}  "), Text(_plain(value)), sep="")


def problems_result(
    problems: Sequence[Mapping[str, Any]], *, place: str, heading: str, good: str, **more: object
) -> Result:
    """What a check found: a table of problems, with the `place` of each under `heading`; `good` where it found none."""

    def show(_: object) -> None:
        if not problems:
            out().print(good)
            return
        rows = [(one[place], one["rule"], one["message"], one["hint"]) for one in problems]
        print_table((heading, "rule", "problem", "hint"), rows)

    return Result({"ok": not problems, **more, "problems": problems}, show, EXIT_NO if problems else 0)


def print_error(error: RefoldError, *, as_json: bool) -> None:
    """One line and a hint."""
    if as_json:
        print_json(error_message(error))
        return
    console = err()
    console.print(Text("refold: ", style="bold red"), Text(_one_line(str(error))), sep="")
    if error.hint:
        console.print(Text("  hint: ", style="bold"), Text(_one_line(error.hint)), sep="")


def print_warning(message: str, hint: str | None) -> None:
    """What is wrong though the command has done its work: one line and a hint."""
    console = err()
    console.print(Text("warning: ", style="bold yellow"), Text(_one_line(message)), sep="")
    if hint:
        console.print(Text("  hint: ", style="bold"), Text(_one_line(hint)), sep="")


def tell_open_of_others(answer: Mapping[str, Any]) -> None:
    """Say on standard error what a command leaves open that others have asked for."""
    count = answer.get("open_of_others", 0)
    if count:
        err().print(f"{count:,} requests of other jobs are open; they go on when somebody ingests: refold jobs list")


def human_bytes(size_bytes: float) -> str:
    """A size as people write it, in powers of 1,024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:  # noqa: PLR2004 - the unit's base
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def short_time(moment: str | None) -> str:
    """An ISO time to the second, for a column."""
    return (moment or "")[:19].replace("T", " ")


def _plain(cell: object) -> str:
    return "" if cell is None else str(cell)


def _one_line(text: str) -> str:
    return " ".join(text.split())
