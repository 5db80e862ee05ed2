"""`refold search`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from refold.cli.options import call, with_settings
from refold.cli.output import EXIT_NO, Result, err, out, print_warning
from refold.settings.settings import Settings

SNIPPET_CHARS = 320
"""About four lines of a terminal: enough to tell whether a hit is worth opening."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "search",
        epilog="Examples: refold search 'what happens on backpressure?' · "
        "refold search python --mode keyword --limit 3 · "
        "refold search licence --filter media_type=text/html --filter 'modified>=2026-01-01' --json",
    )(search)


@with_settings
def search(
    query: Annotated[str, typer.Argument(help='Words or a question; "quoted words" must stand together.')],
    mode: Annotated[str, typer.Option(help="hybrid, vector or keyword.")] = "hybrid",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many hits.")] = 10,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="uri=GLOB, uri^=PREFIX, source=URI, media_type=TYPE, modified>=DATE, modified<DATE, metadata.K=V.",
        ),
    ] = None,
    wait_for: Annotated[
        str | None, typer.Option(help="Wait until this position, job or document is searchable.")
    ] = None,
    *,
    settings: Settings,
) -> Result:
    """Find documents by words, by meaning, or both. Exit code 1 when nothing is found."""
    arguments = {"query": query, "mode": mode, "limit": limit, "filters": filters or [], "wait_for": wait_for}
    answer = call(settings, "search", arguments, on_event=_tell_behind)
    return Result(answer, _show, 0 if answer["hits"] else EXIT_NO)


def _tell_behind(event: dict[str, Any]) -> None:
    if event.get("type") == "behind":
        err().print(f"waiting for the indexes: {_lags(event['events'])}")


def _warn(answer: dict[str, Any]) -> None:
    """What this answer may lack."""
    for one in answer["unavailable"]:
        print_warning(f"without the {one['index']} index: {one['error']}", one["hint"])
    for one in answer["unreadable"]:
        print_warning(f"without {one['uri']}: {one['error']}", one["hint"])
    if answer["behind"]:
        err().print(f"not everything could be searched yet: {_lags(answer['behind'])}; see: refold status")
    if answer["parked"]:
        err().print(f"{len(answer['parked'])} documents are parked, and are not found; see: refold status")


def _lags(events: dict[str, int]) -> str:
    return ", ".join(f"{name} is {count:,} events behind" for name, count in events.items())


def _show(answer: dict[str, Any]) -> None:
    if not answer["hits"]:
        err().print("nothing found")
    for number, hit in enumerate(answer["hits"], start=1):
        out().print(_heading(number, hit))
        out().print(_snippet(hit))
        out().print()
    _warn(answer)


def _heading(number: int, hit: dict[str, Any]) -> Text:
    where = f", page {hit['page']}" if hit.get("page") else ""
    parts = ", ".join(f"{name} #{part['rank']}" for name, part in hit["parts"].items())
    return Text.assemble(
        (f"{number}. ", "bold"), (str(hit.get("title") or hit["uri"]), "bold"), f"  {hit['score']:.4f} ({parts})\n",
        (f"   {hit['uri']}{where}", "dim"),
    )  # fmt: skip


def _snippet(hit: dict[str, Any]) -> Text:
    """The part of the chunk with the query's words, these highlighted."""
    spans = [(int(start), int(end)) for start, end in hit["highlights"]]
    text: str = hit["text"]
    begin = max(0, (spans[0][0] if spans else 0) - SNIPPET_CHARS // 4)
    end = min(len(text), begin + SNIPPET_CHARS)
    shown = Text("   " + ("…" if begin else ""))
    shown.append(text[begin:end].replace("\n", " "))
    offset = len(shown.plain) - (end - begin)
    for start, stop in spans:
        if begin <= start and stop <= end:
            shown.stylize("bold yellow", offset + start - begin, offset + stop - begin)
    return shown.append("…" if end < len(text) else "")
