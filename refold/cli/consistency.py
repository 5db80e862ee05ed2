"""`refold verify` and `refold rebuild`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import EXIT_NO, Result, err, out, print_table, print_warning
from refold.settings.settings import Settings

COUNTS = (
    "expected",
    "missing",
    "orphaned",
    "stale",
    "corrupt",
    "foreign",
    "parked",
    "awaiting",
    "misserved",
    "unreadable",
)
"""What `refold verify` reports of an index, in this order."""

SELDOM = ("foreign", "awaiting", "misserved", "unreadable")

MENDED_BY_INGEST = ("parked", "awaiting", "unreadable")
MENDED_BY_REBUILD = tuple(name for name in COUNTS[1:] if name not in MENDED_BY_INGEST)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("verify", epilog="Examples: refold verify · refold verify --deep --json")(verify)
    app.command("rebuild", epilog="Examples: refold rebuild vector · refold rebuild all --json")(rebuild)


@with_settings
def verify(
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Compare contents too, not only ids.")] = False,
    settings: Settings,
) -> Result:
    """Prove that the indexes equal the log. Exit code 1 when they do not."""
    answer = call(settings, "verify", {"deep": deep})
    return Result(answer, _show_verified, 0 if answer["consistent"] else EXIT_NO)


def _show_verified(answer: dict[str, Any]) -> None:
    names = _shown(answer["indexes"]) if out().is_terminal else COUNTS
    rows = [(name, *(index[n] for n in names)) for name, index in answer["indexes"].items()]
    print_table(("index", *names), rows, right=names)
    out().print("consistent" if answer["consistent"] else "NOT consistent")
    for one in answer["unavailable"]:
        print_warning(f"the {one['index']} index was not compared: {one['error']}", one["hint"])
    for hint in _hints(answer["indexes"]):
        err().print(f"hint: {hint}")


def _shown(indexes: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """What fits into eighty columns: the counts that are seldom more than 0 only where they are."""
    return [name for name in COUNTS if name not in SELDOM or any(index[name] for index in indexes.values())]


def _hints(indexes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What mends what was found; what a rebuild reads has to be there first."""
    if any(index[name] for index in indexes.values() for name in MENDED_BY_INGEST):
        yield "refold ingest SOURCE --force, for documents whose artifacts are lost or without vectors"
    if any(index[name] for index in indexes.values() for name in MENDED_BY_REBUILD):
        yield "refold rebuild all"


@with_settings
def rebuild(
    *,
    what: Annotated[str, typer.Argument(help="vector, keyword, manifest, jobs, stage_results or all.")] = "all",
    settings: Settings,
) -> Result:
    """Write indexes and views anew from the log and the artifacts: nothing is parsed or embedded again."""
    return Result(call(settings, "rebuild", {"what": what}), _show_rebuilt)


def _show_rebuilt(answer: dict[str, Any]) -> None:
    names = ("generation", "documents", "chunks", "seconds", "parser_calls", "embedder_calls")
    rows = [(name, *(part.get(n, "") for n in names)) for name, part in answer["rebuilt"].items()]
    print_table(("rebuilt", *names), rows, right=names[1:])
    if answer.get("lost_events"):
        counts = ", ".join(f"{count} of {topic}" for topic, count in answer["lost_events"].items())
        print_warning(
            f"the log had lost events that were acknowledged, and goes on without them: {counts}",
            "run the ingests again: what is known is not parsed again",
        )
