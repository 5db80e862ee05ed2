"""`refold log`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refold.cli.options import call, with_settings
from refold.cli.output import Result, out, print_facts, print_line, print_table
from refold.settings.settings import Settings

app = typer.Typer(help="The log: the truth that everything else is folded from.", no_args_is_help=True)

TopicOption = Annotated[
    list[str] | None, typer.Option("--topic", help="requests, documents, jobs, adapters, operations; may be repeated.")
]


@app.command(
    epilog="Examples: refold log tail · refold log tail --topic documents --lines 50 --json · refold log tail --follow"
)
@with_settings
def tail(
    *,
    topics: TopicOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the latest events per topic.")] = 10,
    after: Annotated[str | None, typer.Option(help="Begin at this position instead, such as documents:0=120.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    settings: Settings,
    as_json: bool,
) -> int:
    """Print events, the oldest first; with --json one object per line."""

    def show(event: dict[str, object]) -> None:
        if as_json:
            print_line(event)
            return
        place = f"{event['topic']}:{event['partition']}={event['offset']}"
        out().print(f"{event['occurred_at']}  {place:<22}  {event['kind']:<20}  {event['summary']}")

    arguments = {"topics": topics or [], "lines": lines, "after": after, "follow": follow}
    call(settings, "log tail", arguments, on_event=show)
    return 0


@app.command(epilog="Example: refold log stat --json")
@with_settings
def stat(settings: Settings) -> Result:
    """Show the log's id, its topics and how many events of each kind it holds."""
    return Result(call(settings, "log stat"), _show_stat)


def _show_stat(answer: dict[str, Any]) -> None:
    print_facts({"log_id": answer["log_id"], "size_bytes": answer["size_bytes"], "position": answer["position"]})
    rows = [(topic, kind, n) for topic, kinds in answer["topics"].items() for kind, n in kinds.items()]
    print_table(("topic", "event", "count"), rows, right=("count",))


@app.command(epilog="Example: refold log export backup/log")
@with_settings
def export(*, directory: Annotated[Path, typer.Argument(help="A new or empty folder.")], settings: Settings) -> Result:
    """Write the log as Avro object container files, readable by anything that knows Avro."""
    return Result(call(settings, "log export", {"directory": str(directory.resolve())}), print_facts)


@app.command("import", epilog="Example: refold log import backup/log --data restored/")
@with_settings
def import_(
    *,
    directory: Annotated[Path, typer.Argument(help="A folder that `log export` wrote.")],
    artifacts: Annotated[
        str | None,
        typer.Option(
            help="The store to take contents from: old-data/artifacts, a shared folder, or s3://BUCKET/PREFIX.",
            metavar="STORE",
        ),
    ] = None,
    settings: Settings,
) -> Result:
    """Read an exported log into an empty data folder; then: refold rebuild all."""
    store = str(Path(artifacts).resolve()) if artifacts and "://" not in artifacts else artifacts
    arguments = {"directory": str(directory.resolve()), "artifacts": store}
    return Result(call(settings, "log import", arguments), print_facts)
