"""`refold ingest` and `refold plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refold.api.session import Session
from refold.cli.options import call, with_settings
from refold.cli.output import (
    EXIT_INTERRUPTED,
    EXIT_NO,
    err,
    out,
    print_facts,
    print_json,
    print_line,
    print_table,
    tell_open_of_others,
)
from refold.cli.progress import IngestProgress
from refold.cli.stopping import Stopping
from refold.settings.settings import Settings
from schemas.ids import random_id

SourcesArgument = Annotated[list[str], typer.Argument(help="Folders, files or globs.", metavar="SOURCE...")]
ModeOption = Annotated[str, typer.Option(help="auto, add_only, update_only or skip_existing.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Process unchanged documents too, past the stage cache.")]
AsOption = Annotated[
    str | None, typer.Option("--as", help="Name the source: uris become folder:NAME/…, so that its root may move.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Plan at most this many documents.")]
RemovalsOption = Annotated[
    bool,
    typer.Option(
        "--allow-removals",
        help="Remove documents even when a large share of the source is gone, or when it only leaves them out now.",
    ),
]

LEFT_OUT = "{:,} documents are still there, but left out by their source now; they stay unless you say --allow-removals"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "ingest",
        epilog="Examples: refold ingest docs/ · refold ingest docs/ notes/*.md --priority critical · "
        "refold ingest /srv/share --as share --json · refold ingest docs/ --stream > events.jsonl",
    )(ingest)
    app.command("plan", epilog="Examples: refold plan docs/ · refold plan docs/ --limit 20 --json")(plan)


@with_settings
def ingest(
    sources: SourcesArgument,
    mode: ModeOption = "auto",
    force: ForceOption = False,  # noqa: FBT002 - a flag of the command line
    priority: Annotated[str, typer.Option(help="critical, normal or batch.")] = "normal",
    as_name: AsOption = None,
    limit: LimitOption = None,
    allow_removals: RemovalsOption = False,  # noqa: FBT002 - as above
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,  # noqa: FBT002 - as above
    stream: Annotated[bool, typer.Option("--stream", help="Print every event as a JSON line.")] = False,  # noqa: FBT002 - as above
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the requests are in the log.")] = False,  # noqa: FBT002 - as above
    *,
    settings: Settings,
    as_json: bool,
) -> int:
    """Make documents searchable: new ones are added, changed ones updated, vanished ones removed.

    Exit code 1 when some failed. Ctrl-C stops in good order; the next ingest goes on where this one stopped.
    """
    planned = _planned(sources, mode, force=force, as_name=as_name, allow_removals=allow_removals)
    if dry_run:
        return _plan({**planned, "limit": limit}, settings, as_json=as_json)
    arguments = {
        **planned,
        "limit": limit,
        "priority": priority,
        "stream": stream,
        "wait": not no_wait,
        "job_id": random_id(),
    }
    with Stopping(arguments["job_id"]) as stopping, IngestProgress() as progress:

        def show(event: dict[str, Any]) -> None:
            if event.get("type") == "event":
                print_line(event["event"])
            elif not as_json or event.get("type") == "failure":
                progress.show(event)

        session = Session(settings)
        answer = session.call("ingest", arguments, on_event=show, on_place=stopping.runs, stop=stopping.asked)
    return _show_ingested(answer, as_json=as_json or stream)


def _show_ingested(answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(answer)
    else:
        counts = ("completed", "unchanged", "skipped", "failed", "removed", "cancelled", "not_started")
        told = ", ".join(f"{answer[name]:,} {name}" for name in counts if answer[name])
        speed = f"{answer['documents_per_s']:,.1f} documents/s, {answer['chunks']:,} chunks"
        out().print(f"{answer['outcome'].lower()}: {told or 'nothing to do'} in {answer['seconds']:.1f} s ({speed})")
        tell_open_of_others(answer)
        if answer["left_out"]:
            err().print(LEFT_OUT.format(answer["left_out"]))
        if answer["failed"]:
            err().print("see: refold documents list --status failed")
        if not answer["searchable"] and answer["outcome"] != "INTERRUPTED":
            err().print("not all of it is searchable yet; see: refold status")
    if answer["outcome"] == "INTERRUPTED":
        return EXIT_INTERRUPTED
    return EXIT_NO if answer["failed"] or not answer["searchable"] else 0


@with_settings
def plan(
    sources: SourcesArgument,
    mode: ModeOption = "auto",
    force: ForceOption = False,  # noqa: FBT002 - a flag of the command line
    as_name: AsOption = None,
    allow_removals: RemovalsOption = False,  # noqa: FBT002 - as above
    limit: Annotated[int | None, typer.Option(min=1, help="Show at most this many documents.")] = 50,
    *,
    settings: Settings,
    as_json: bool,
) -> int:
    """Show what an ingest would do, with the reason per document. Changes nothing."""
    planned = _planned(sources, mode, force=force, as_name=as_name, allow_removals=allow_removals)
    return _plan({**planned, "limit": limit}, settings, as_json=as_json)


def _plan(arguments: dict[str, Any], settings: Settings, *, as_json: bool) -> int:
    answer = call(settings, "plan", arguments)
    if as_json:
        print_json(answer)
        return 0
    rows = [(p["action"], p["reason"], p["uri"]) for p in answer["documents"]]
    print_table(("action", "reason", "document"), rows)
    print_facts(answer["counts"])
    if answer["is_cut"]:
        err().print(f"the first {len(rows)} are shown; more with --limit")
    if answer["counts"]["left_out"]:
        err().print(LEFT_OUT.format(answer["counts"]["left_out"]))
    return 0


def _planned(
    sources: list[str], mode: str, *, force: bool, as_name: str | None, allow_removals: bool
) -> dict[str, Any]:
    return {
        "sources": [_absolute(source) for source in sources],
        "mode": mode,
        "force": force,
        "as_name": as_name,
        "allow_removals": allow_removals,
    }


def _absolute(source: str) -> str:
    """A forwarded path must mean the same in the owner's working directory."""
    return source if "://" in source or source.startswith("file:") else str(Path.cwd() / source)
